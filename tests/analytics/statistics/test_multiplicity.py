import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.analytics.evidence import Flags
from tracecanary.analytics.statistics.multiplicity import confirmed_findings, e_bh

LOG_E = st.lists(st.floats(-5, 20), min_size=1, max_size=40)


def test_e_bh_by_hand() -> None:
    # Four tests at 5 %: the largest must reach 80, the second 40, the third 26.7, the fourth 20.
    assert e_bh(np.log([90, 45, 20, 1]), false_discovery_rate=0.05).tolist() == [True, True, False, False]
    assert e_bh(np.log([79, 39, 26, 19]), false_discovery_rate=0.05).tolist() == [False] * 4
    assert e_bh(np.log([30, 27, 27, 1]), false_discovery_rate=0.05).tolist() == [True, True, True, False]


@given(LOG_E)
def test_e_bh_is_benjamini_hochberg_on_the_inverse(log_e: list[float]) -> None:
    p = np.minimum(np.exp(-np.array(log_e)), 1.0)
    ordered = np.sort(p)
    passing = np.flatnonzero(ordered <= 0.05 * np.arange(1, len(p) + 1) / len(p))
    expected = p <= ordered[passing[-1]] if passing.size else np.zeros(len(p), dtype=bool)

    assert e_bh(np.array(log_e), false_discovery_rate=0.05).tolist() == expected.tolist()


@given(LOG_E, st.integers(0, 30))
def test_findings_by_intervals_are_those_of_e_bh(log_e: list[float], others: int) -> None:
    values = np.array(log_e)
    family = len(log_e) + others

    def is_found_at(confidence: float) -> Flags:
        return np.asarray(values >= math.log(1 / (1 - confidence)) - 1e-12)

    standing, confidence = confirmed_findings(family, is_found_at(0.95), is_found_at, false_discovery_rate=0.05)

    padded = np.concatenate([values, np.full(others, -50.0)])
    assert standing.tolist() == e_bh(padded, false_discovery_rate=0.05)[: len(log_e)].tolist()
    if standing.any():
        assert math.isclose(confidence, 1 - standing.sum() * 0.05 / family)


def test_nothing_found_is_nothing_confirmed() -> None:
    none = np.zeros((2, 3), dtype=np.bool_)

    standing, _ = confirmed_findings(0, none, lambda confidence: none, false_discovery_rate=0.05)

    assert not standing.any()
    assert e_bh(np.empty(0), false_discovery_rate=0.05).tolist() == []
