import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from tracecanary.analytics.statistics.heterogeneity import heterogeneity

EFFECT = st.tuples(st.floats(-5, 5), st.floats(0.01, 5))


@given(st.lists(EFFECT, min_size=2, max_size=12))
def test_heterogeneity_is_that_of_statsmodels(cohorts: list[tuple[float, float]]) -> None:
    effects, errors = np.array(cohorts).T

    found = heterogeneity(effects[:, None], errors[:, None])

    with np.errstate(all="ignore"):  # statsmodels divides by Q, which is 0 for equal effects
        expected = combine_effects(effects, errors**2)
    assert found.q[0] == pytest.approx(expected.q, rel=1e-6, abs=1e-6)
    if expected.q > 1e-6:  # below, rounding in statsmodels' difference of two large sums shows in both
        assert found.i_squared[0] == pytest.approx(max(0.0, expected.i2), abs=1e-6)
        assert found.p_value[0] == pytest.approx(expected.test_homogeneity().pvalue, abs=1e-6)
    else:
        assert found.p_value[0] == pytest.approx(1.0, abs=1e-3)


def test_cohorts_without_an_effect_are_left_out() -> None:
    effects = np.array([[0.1, np.nan], [0.3, 0.2], [np.nan, np.nan]])

    found = heterogeneity(effects, np.full((3, 2), 0.1))

    assert found.q.tolist() == pytest.approx([2.0, np.nan], nan_ok=True)
    assert np.isnan([found.p_value[1], found.i_squared[1]]).all()
