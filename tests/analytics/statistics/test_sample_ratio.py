import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tracecanary.analytics.statistics.sample_ratio import (
    equal_shares_p_value,
    log_sample_ratio_e_value,
    split_p_value,
)


def test_e_value_is_the_dirichlet_multinomial_over_the_multinomial() -> None:
    counts, shares = np.array([9000, 1100]), np.array([0.9, 0.1])

    log_e = log_sample_ratio_e_value(counts[None], shares[None])

    mixture = stats.dirichlet_multinomial.logpmf(counts, 1000 * shares, counts.sum())
    assert log_e == pytest.approx(mixture - stats.multinomial.logpmf(counts, counts.sum(), shares), abs=1e-6)


def test_periods_add_up() -> None:
    counts, shares = np.array([[950, 50], [480, 520]]), np.array([[0.95, 0.05], [0.5, 0.5]])

    whole = log_sample_ratio_e_value(counts, shares)

    assert whole == pytest.approx(sum(log_sample_ratio_e_value(counts[i : i + 1], shares[i : i + 1]) for i in (0, 1)))


@pytest.mark.parametrize(("candidate", "is_found"), [(1000, False), (1040, False), (1250, True)])
def test_a_wrong_split_is_found(candidate: int, is_found: bool) -> None:
    log_e = log_sample_ratio_e_value(np.array([[10_000 - candidate, candidate]]), np.array([[0.9, 0.1]]))

    assert (log_e > math.log(1000)) is is_found


def test_no_traffic_is_no_evidence() -> None:
    assert log_sample_ratio_e_value(np.zeros((1, 2)), np.array([[0.5, 0.5]])) == pytest.approx(0.0)
    assert split_p_value(np.zeros(2), np.array([0.5, 0.5])) is None


def test_p_value_is_pearsons() -> None:
    assert split_p_value(np.array([9000, 1100]), np.array([0.9, 0.1])) == pytest.approx(
        stats.chisquare([9000, 1100], [9090, 1010]).pvalue
    )


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=6))
def test_p_value_of_two_columns_is_that_of_the_contingency_table(rows: list[tuple[int, int]]) -> None:
    counts = np.array(rows, dtype=np.float64)

    assert equal_shares_p_value(counts) == pytest.approx(stats.chi2_contingency(counts).pvalue, rel=1e-9, abs=1e-300)
