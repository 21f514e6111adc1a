import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tracecanary.analytics.statistics.clock import Look, log_e_value, log_e_value_above, optimal_ratio

LOOK = Look(confidence=0.95, planned=4000)
HARMONIC = st.floats(1e-3, 1e12)


def test_optimal_ratio_makes_the_interval_tightest() -> None:
    ratio = optimal_ratio(0.95)

    assert ratio == pytest.approx(8.212, abs=5e-4)
    squares = [(1 + 1 / r) * (math.log1p(r) + 2 * math.log(20)) for r in (0.99 * ratio, ratio, 1.01 * ratio)]
    assert min(squares) == squares[1]
    assert LOOK.critical(np.array([2000.0]))[0] == pytest.approx(math.sqrt(squares[1]))


@pytest.mark.parametrize(
    ("traces_in_plans", "critical"), [(1.0, 3.035), (1 / 8.212, 3.656), (0.3 / 8.212, 5.206), (50 / 8.212, 3.181)]
)
def test_critical_value_follows_the_published_mixture(traces_in_plans: float, critical: float) -> None:
    assert LOOK.critical(np.array([2000 * traces_in_plans]))[0] == pytest.approx(critical, abs=1e-3)


def test_single_look_has_the_normal_critical_value() -> None:
    assert Look(confidence=0.95).critical(np.array([1.0, 1e6])).tolist() == pytest.approx([stats.norm.ppf(0.975)] * 2)


@given(HARMONIC, st.floats(0.5, 0.999), st.floats(0.5, 0.999))
def test_more_confidence_never_narrows(harmonic: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    traces = np.array([harmonic])

    assert LOOK.at_confidence(low).critical(traces)[0] <= LOOK.at_confidence(high).critical(traces)[0]


@given(HARMONIC, st.floats(0.01, 0.5))
def test_interval_excludes_exactly_where_the_e_value_rejects(harmonic: float, alpha: float) -> None:
    look = LOOK.at_confidence(1 - alpha)
    traces = np.array([harmonic])
    edge = look.critical(traces)

    assert log_e_value(edge, look.ratio(traces))[0] == pytest.approx(math.log(1 / alpha), rel=1e-6)


def test_one_sided_e_value_has_an_expectation_of_at_most_one() -> None:
    z = np.linspace(-12, 12, 200_001)
    step = z[1] - z[0]

    for ratio in (0.1, 1.0, 8.2, 100.0):
        expectation = float((np.exp(log_e_value_above(z, np.array(ratio))) * stats.norm.pdf(z) * step).sum())
        assert expectation <= 1 + 1e-6


def test_student_factor_is_that_of_the_t_distribution() -> None:
    factor = Look(confidence=0.95).student_factor(np.array([19.0, 127.0]))

    assert factor.tolist() == pytest.approx([stats.t.ppf(0.975, d) / stats.norm.ppf(0.975) for d in (19, 127)])


@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, math.nan])
def test_impossible_confidence_is_refused_with_its_value(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence is"):
        Look(confidence=confidence)


def test_plan_of_a_few_traces_is_refused() -> None:
    with pytest.raises(ValueError, match="planned is 5"):
        Look(confidence=0.95, planned=5)
