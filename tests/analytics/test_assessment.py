from collections.abc import Callable

import pytest
from tests.analytics.evidence_cases import EVALUATOR, Arm, Moments, answer, arm, cell, mean, rate, row_of

from tracecanary.analytics.answer import CellState, MetricRow

FAIL_RATE = ("eval_fail_rate", EVALUATOR)
COST = ("cost_per_trace", None)


def judged(base: Arm, candidate: Arm, metric: str, evaluator: str | None = None) -> MetricRow:
    return row_of(answer(cell(base, candidate)).overall.metrics, metric, evaluator)


def fail_row(base_hits: int, candidate_hits: int, n: int) -> MetricRow:
    base, candidate = (arm(n, moments={FAIL_RATE: rate(hits, n)}) for hits in (base_hits, candidate_hits))
    return judged(base, candidate, *FAIL_RATE)


@pytest.mark.parametrize(
    ("base_hits", "candidate_hits", "n", "state"),
    [
        pytest.param(100, 100, 5000, CellState.SAFE, id="safe"),
        pytest.param(200, 100, 5000, CellState.BETTER, id="better"),
        pytest.param(100, 300, 5000, CellState.HARM, id="harm"),
        pytest.param(100, 160, 5000, CellState.WORSE, id="worse"),
        pytest.param(10, 10, 500, CellState.UNSURE, id="unsure"),
        pytest.param(0, 0, 1000, CellState.SAFE, id="no-events-but-a-tight-interval"),
        pytest.param(0, 9, 300, CellState.NO_DATA, id="regression-of-too-few-events"),
        pytest.param(1, 1, 99, CellState.NO_DATA, id="too-few-traces"),
    ],
)
def test_rate_state_follows_the_interval_and_the_margin(
    base_hits: int, candidate_hits: int, n: int, state: CellState
) -> None:
    assert fail_row(base_hits, candidate_hits, n).state is state


@pytest.mark.parametrize(
    ("slowdown", "state"),
    [
        (0.5, CellState.BETTER),
        (1.0, CellState.SAFE),
        (1.05, CellState.SAFE),
        (2.0, CellState.HARM),
    ],
)
def test_quantile_state_follows_the_ratio(slowdown: float, state: CellState) -> None:
    assert judged(arm(), arm(slowdown=slowdown), "latency_p95").state is state


@pytest.mark.parametrize(("traces", "state"), [(380, CellState.NO_DATA), (381, CellState.SAFE)])
def test_tail_quantile_without_an_upper_bound_is_no_data(traces: int, state: CellState) -> None:
    row = judged(arm(traces), arm(traces), "latency_p99")

    assert row.state is state
    if state is CellState.NO_DATA:
        assert row.ci_high is None
        assert row.reason is not None
        assert "needs 381 traces" in row.reason
        assert row.more_traces == 1


@pytest.mark.parametrize(
    ("base", "candidate", "reason"),
    [
        pytest.param(
            {COST: mean(1, 4000)}, {}, "the candidate has no price in any of its 4000 traces", id="missing-in-one"
        ),
        pytest.param({}, {}, "neither arm has a price: nothing recorded it", id="missing-in-both"),
        pytest.param(
            {COST: mean(1, 4000)},
            {COST: mean(1, 3000)},
            "100% of the base's traces have a price, but 75% of the candidate's",
            id="different-coverage",
        ),
    ],
)
def test_missing_prices_are_no_data_that_more_traces_do_not_mend(
    base: dict[tuple[str, str | None], Moments], candidate: dict[tuple[str, str | None], Moments], reason: str
) -> None:
    row = judged(arm(moments=base), arm(moments=candidate), "cost_per_trace")

    assert (row.state, row.reason, row.more_traces) == (CellState.NO_DATA, reason, None)


def test_coverage_may_differ_a_little() -> None:
    base, candidate = arm(moments={COST: mean(1, 4000)}), arm(moments={COST: mean(1.2, 3900)})

    assert judged(base, candidate, "cost_per_trace").state is CellState.HARM


@pytest.mark.parametrize(
    ("base_traces", "candidate_traces", "reason"),
    [(0, 0, "neither arm has any traces"), (200, 0, "the candidate has no traces"), (0, 200, "the base has no traces")],
)
def test_arm_without_traces_is_named(base_traces: int, candidate_traces: int, reason: str) -> None:
    row = judged(arm(base_traces), arm(candidate_traces), "error_rate")

    assert (row.state, row.effect, row.reason, row.more_traces) == (CellState.NO_DATA, None, reason, None)


def test_too_few_traces_say_how_many_there_are() -> None:
    row = fail_row(1, 1, 99)

    assert row.reason == "99 base and 99 candidate traces; a decision takes at least 100 in each arm"


def test_settled_rows_need_no_more_traces() -> None:
    assert [row.more_traces for row in (fail_row(100, 100, 5000), fail_row(100, 300, 5000))] == [0, 0]


def test_unsure_row_without_a_difference_is_planned_for_none() -> None:
    # (1.96 + 0.84)^2 * 2 * 0.02 * 0.98 / 0.01^2 = 3077 traces an arm, less the 500 seen.
    more = fail_row(10, 10, 500).more_traces

    assert more is not None
    assert 2500 < more < 2700


def test_effect_between_no_difference_and_the_margin_takes_more_traces() -> None:
    nearer, at_none = fail_row(10, 12, 500).more_traces, fail_row(11, 11, 500).more_traces

    assert nearer is not None
    assert at_none is not None
    assert nearer > 1.5 * at_none


@pytest.mark.parametrize("candidate_hits", [40, 50, 60])
def test_effect_near_the_margin_gets_no_number(candidate_hits: int) -> None:
    row = fail_row(20, candidate_hits, 3000)

    assert row.state in {CellState.UNSURE, CellState.WORSE}
    assert row.more_traces is None


@pytest.mark.parametrize(
    ("metric", "make"),
    [
        ("input_tokens", lambda value: arm(moments={("input_tokens", None): mean(value, 4000, deviation=value / 2)})),
        ("latency_p50", lambda value: arm(slowdown=value)),
    ],
)
def test_zero_mean_or_quantile_has_no_ratio(metric: str, make: Callable[[float], Arm]) -> None:
    row = judged(make(0.0), make(1.0), metric)

    assert (row.state, row.effect, row.ci_low, row.ci_high) == (CellState.NO_DATA, None, None, None)
    assert row.reason is not None
    assert "above 0" in row.reason
