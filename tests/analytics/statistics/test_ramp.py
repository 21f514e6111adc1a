import numpy as np
import pytest

from tracecanary.analytics.statistics.ramp import MAX_PERIODS, ramp_starts, share_side_by_side


def hours(*steps: tuple[int, float], traffic: int = 2000) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Traffic with the candidate's share constant for so many hours each."""
    shares = np.concatenate([np.full(count, share) for count, share in steps])
    return np.stack([traffic * (1 - shares), traffic * shares], axis=1)


def test_steps_of_a_ramp_are_found() -> None:
    assert ramp_starts(hours((5, 0.05), (7, 0.25), (6, 0.5))) == [0, 5, 12]


def test_the_start_of_the_canary_is_a_step() -> None:
    assert ramp_starts(hours((10, 0.0), (10, 0.1))) == [0, 10]


def test_chance_makes_no_step() -> None:
    rng = np.random.default_rng(12)

    found = [len(ramp_starts(rng.poisson(hours((14 * 24, 0.1))).astype(float))) for _ in range(40)]

    assert found == [1] * 40


def test_daily_rhythm_makes_no_step() -> None:
    rhythm = 1 + 0.8 * np.sin(np.arange(72) * np.pi / 12)

    assert ramp_starts(hours((72, 0.2)) * rhythm[:, None]) == [0]


def test_number_of_periods_is_bounded() -> None:
    alternating = hours(*[(2, share) for share in (0.1, 0.5)] * 60)

    assert len(ramp_starts(alternating)) == MAX_PERIODS


@pytest.mark.parametrize("counts", [np.zeros((0, 2)), np.zeros((3, 2)), np.array([[5.0, 5.0]])])
def test_little_or_no_traffic_is_one_period(counts: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> None:
    assert ramp_starts(counts) == [0]


def test_arms_that_ran_one_after_the_other_were_not_side_by_side() -> None:
    apart = np.array([[100.0, 0.0], [100.0, 0.0], [0.0, 150.0], [50.0, 50.0]])

    assert share_side_by_side(apart, [0, 2, 3]) == pytest.approx(0.25)
    assert share_side_by_side(apart, [0]) == 1.0
    assert share_side_by_side(np.zeros((0, 2)), [0]) == 1.0
