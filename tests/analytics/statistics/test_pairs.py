import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from tracecanary.analytics.statistics.clock import Look
from tracecanary.analytics.statistics.pairs import PairedHits, mcnemar_p_value, paired_rate_difference

COUNTS = st.integers(0, 300)
TABLES = st.builds(PairedHits, both=COUNTS, base_only=COUNTS, candidate_only=COUNTS, neither=COUNTS)


@given(TABLES)
def test_p_value_is_statsmodels_exact_mcnemar(hits: PairedHits) -> None:
    table = [[hits.both, hits.base_only], [hits.candidate_only, hits.neither]]

    # Without differing pairs statsmodels divides by nothing; there is no evidence then.
    expected = mcnemar(table, exact=True).pvalue if hits.base_only + hits.candidate_only else 1.0
    assert mcnemar_p_value(hits) == pytest.approx(expected, abs=1e-9)


def test_p_value_of_very_many_pairs_is_the_normal_one() -> None:
    hits = PairedHits(both=0, base_only=10**9, candidate_only=10**9 + 90_000, neither=0)

    assert mcnemar_p_value(hits) == pytest.approx(2 * stats.norm.sf(90_000 / math.sqrt(2 * 10**9 + 90_000)), rel=1e-3)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe, Stat. Med. 17 (1998) 2635-2650, table II, method 8.
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((20, 12, 2, 16), 0.0618, 0.3242),
    ],
)
def test_interval_is_newcombes_for_pairs(table: tuple[int, int, int, int], low: float, high: float) -> None:
    both, candidate_only, base_only, neither = table
    hits = PairedHits(both=both, base_only=base_only, candidate_only=candidate_only, neither=neither)

    found = paired_rate_difference(hits, Look(confidence=0.95))

    assert (found.low[0], found.high[0]) == pytest.approx((low, high), abs=1e-4)


@given(TABLES, st.sampled_from([None, 500]))
def test_interval_holds_the_difference_or_is_undefined(hits: PairedHits, planned: int | None) -> None:
    found = paired_rate_difference(hits, Look(confidence=0.95, planned=planned))

    if hits.pairs == 0:
        assert np.isnan(found.value[0])
    else:
        assert found.value[0] == pytest.approx((hits.candidate_only - hits.base_only) / hits.pairs)
        assert -1 <= found.low[0] <= found.value[0] + 1e-12
        assert found.value[0] - 1e-12 <= found.high[0] <= 1


def test_pairs_add_up() -> None:
    one = PairedHits(both=1, base_only=2, candidate_only=3, neither=4)

    assert (one + one).pairs == 20
    with pytest.raises(ValueError, match="negative"):
        PairedHits(both=-1, base_only=0, candidate_only=0, neither=0)
