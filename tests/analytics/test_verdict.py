from dataclasses import replace

import pytest
from tests.analytics.evidence_cases import EVALUATOR, Moments, Pair, arm, cell, mean, question, rate, without
from tests.analytics.evidence_cases import answer as answered

from tracecanary.analytics.answer import CellState, Verdict, with_metrics
from tracecanary.analytics.evidence import MetricKey

FAIL_RATE = ("eval_fail_rate", EVALUATOR)
TOOL_ERRORS = ("tool_error_rate", None)
COST = ("cost_per_trace", None)


def plain(cohort: str, traces: int = 4000) -> Pair:
    return cell(arm(traces), arm(traces), cohort=cohort)


def harmed(cohort: str, traces: int = 4000) -> Pair:
    """Many more failed tool calls: harm in a guardrail that is not critical."""
    return cell(arm(traces), arm(traces, rates={TOOL_ERRORS: 0.2}), cohort=cohort)


def test_safe_everywhere_ships() -> None:
    answer = answered(plain("bank"), plain("shop"))

    assert answer.overall.verdict is Verdict.SHIP
    assert answer.overall.reasons == ["every guardrail lies within its margin"]
    assert answer.routing.candidate == ["bank", "shop"]


def test_guardrail_that_nobody_records_does_not_block() -> None:
    answer = answered(plain("shop"))

    assert answer.overall.verdict is Verdict.SHIP
    assert next(row for row in answer.overall.metrics if row.metric == "retry_rate").base.n == 0


def test_missing_evaluations_block() -> None:
    answer = answered(cell(without(arm(), FAIL_RATE), without(arm(), FAIL_RATE)))

    assert answer.overall.verdict is Verdict.HOLD
    assert answer.overall.reasons == ["eval_fail_rate: neither arm has a verdict: nothing recorded it"]


def test_price_in_one_arm_only_holds_without_a_promise_of_traces() -> None:
    answer = answered(cell(arm(moments={COST: mean(1, 4000)}, with_cost=4000), arm(with_cost=4000)))

    assert answer.overall.verdict is Verdict.HOLD
    assert answer.overall.reasons == ["cost_per_trace: the candidate has no price in any of its 4000 traces"]


def test_harm_in_a_small_cohort_narrows() -> None:
    answer = answered(harmed("bank", 1000), plain("shop", 9000))

    assert answer.overall.verdict is Verdict.NARROW
    assert answer.overall.reasons[0].startswith(
        "bank: tool_error_rate is worse by more than the margin: +19.5 (+15.9 to +23.4) percentage points, margin +1.0"
    ), "the interval of a harm that stands among 16 cells is one of 1 - 0.05 / 16"
    assert (answer.routing.base, answer.routing.candidate) == (["bank"], ["shop"])


def test_harm_in_most_of_the_traffic_rolls_back() -> None:
    answer = answered(harmed("bank", 5100), plain("shop", 4900))

    assert answer.overall.verdict is Verdict.ROLL_BACK
    assert answer.overall.reasons[0].startswith("bank: tool_error_rate")


def test_harm_in_half_of_the_traffic_narrows() -> None:
    assert answered(harmed("bank", 5000), plain("shop", 5000)).overall.verdict is Verdict.NARROW


def test_critical_harm_overall_rolls_back() -> None:
    answer = answered(cell(arm(), arm(rates={FAIL_RATE: 0.2}), cohort="bank"), plain("shop", 4100))

    assert answer.overall.verdict is Verdict.ROLL_BACK
    assert answer.overall.reasons[0].startswith("eval_fail_rate (reward) is worse by more than the margin")


def test_harm_that_remains_without_the_harmed_cohorts_holds() -> None:
    # Each of the rest has too few traces to tell on its own; together they are clearly harmed.
    spread = [cell(arm(90), arm(90, rates={TOOL_ERRORS: 0.1}), cohort=f"small {number:02}") for number in range(40)]
    answer = answered(harmed("bank", 2000), *spread)

    assert answer.overall.verdict is Verdict.HOLD
    assert answer.overall.reasons[0].startswith("bank: tool_error_rate")
    assert answer.overall.reasons[1].startswith("tool_error_rate is worse by more than the margin")
    assert answer.routing.base == ["bank"]


def test_harm_is_confirmed_only_beyond_what_many_cells_bring_by_chance() -> None:
    doubtful = [arm(1000, rates={FAIL_RATE: share}) for share in (0.02, 0.0555)]
    alone = answered(cell(*doubtful, cohort="bank"))
    among_many = answered(
        cell(*doubtful, cohort="bank"),
        *(plain(f"other {number:03}", 200) for number in range(200)),
    )

    assert alone.cohorts[0].verdict is Verdict.ROLL_BACK
    bank = among_many.cohorts[0]
    assert (bank.cohort, bank.verdict) == ("bank", Verdict.HOLD)
    assert "one of many cells is by chance" in bank.reasons[0]


@pytest.mark.parametrize(("small", "verdict"), [(900, Verdict.SHIP), (1200, Verdict.HOLD)])
def test_small_unsettled_cohorts_do_not_block(small: int, verdict: Verdict) -> None:
    cells = [plain(f"small {number}", small // 10) for number in range(10)]
    answer = answered(*cells, plain("shop", 9000))

    assert answer.overall.verdict is verdict
    assert answer.routing.unverified == [f"small {number}" for number in range(10)]
    assert "small 0, small 1, small 2, small 3, small 4, small 5 and 4 more" in answer.overall.reasons[-1]


def test_warning_lowers_ship_to_hold() -> None:
    answer = answered(cell(arm(releases={"r1": 4000}), arm(releases={"r2": 4000})))

    assert answer.overall.verdict is Verdict.HOLD
    assert answer.overall.reasons == ["confounders: the arms also differ in releases"]
    assert answer.routing.unverified == ["shop"]


def test_metrics_chosen_to_be_shown_do_not_change_the_verdict() -> None:
    everything = answered(plain("shop"), cell(arm(), arm(0), cohort="bank"))

    shown = with_metrics(everything, ["output_tokens"])

    assert [row.metric for row in shown.overall.metrics] == ["output_tokens"]
    assert [row.metric for row in shown.cohorts[0].metrics] == ["output_tokens"]
    assert (shown.overall.verdict, shown.overall.reasons) == (everything.overall.verdict, everything.overall.reasons)
    assert shown.routing == everything.routing


def test_equal_arms_over_different_mixes_hold_instead_of_rolling_back() -> None:
    easy: dict[MetricKey, float] = {FAIL_RATE: 0.02}
    hard: dict[MetricKey, float] = {FAIL_RATE: 0.4}

    answer = answered(
        cell(arm(3500, rates=easy), arm(500, rates=easy), cohort="easy"),
        cell(arm(500, rates=hard), arm(3500, rates=hard), cohort="hard"),
    )

    assert answer.checks.mix_shift.state == "warning"
    assert answer.overall.verdict is Verdict.HOLD


def test_an_evaluator_that_judged_a_tenth_of_one_arm_decides_nothing() -> None:
    judged = arm(4000)
    sparse = replace(judged, moments={**judged.moments, FAIL_RATE: rate(20, 400)})

    answer = answered(cell(judged, sparse))

    row = next(row for row in answer.overall.metrics if row.metric == "eval_fail_rate")
    assert row.state is CellState.NO_DATA
    assert "100% of the base's traces have a verdict, but 10% of the candidate's" in (row.reason or "")
    assert answer.overall.verdict is Verdict.HOLD


def test_a_sliver_of_another_evaluator_blocks_nothing_unless_it_is_asked_for() -> None:
    trial = ("eval_fail_rate", "trial")
    judged = arm(4000)
    tried = replace(judged, moments={**judged.moments, trial: rate(0, 3)})

    answer = answered(cell(tried, judged))
    asked = answered(cell(tried, judged), asked=question(evaluators=["trial"]))

    assert answer.overall.verdict is Verdict.SHIP
    assert asked.overall.verdict is Verdict.HOLD


def test_one_arm_without_traces_holds_with_the_reason() -> None:
    answer = answered(cell(arm(), arm(0)))

    assert answer.overall.verdict is Verdict.HOLD
    assert answer.overall.reasons[0].endswith(": the candidate has no traces")
    assert (answer.overall.traces.base, answer.overall.traces.candidate) == (4000, 0)
    assert answer.cohorts[0].weight == 1


def test_no_traces_at_all_hold() -> None:
    answer = answered()

    assert answer.overall.verdict is Verdict.HOLD
    assert answer.overall.reasons[0].endswith(": neither arm has any traces")
    assert answer.cohorts == []


def test_cohort_of_one_arm_is_left_out_of_what_is_compared() -> None:
    # The base alone saw a cohort in which every trace failed: no merit of the candidate.
    answer = answered(plain("shop"), cell(arm(400, rates={FAIL_RATE: 1.0}), arm(0), cohort="odd"))

    row = next(row for row in answer.overall.metrics if row.metric == "eval_fail_rate")
    assert (row.base.n, row.base.value) == (4000, 0.02)
    assert {cohort.cohort: cohort.weight for cohort in answer.cohorts} == {"shop": 1.0, "odd": 0.0}
    assert answer.overall.verdict is Verdict.SHIP
    assert answer.overall.reasons[-1] == "not verified, with little traffic: odd"
    assert answer.routing.unverified == ["odd"]


def test_many_traces_in_cohorts_of_one_arm_hold() -> None:
    answer = answered(plain("shop"), cell(arm(1000), arm(0), cohort="odd"))

    assert answer.overall.verdict is Verdict.HOLD
    assert answer.overall.reasons == [
        "mix_shift: 11% of the traces are in cohorts that only one arm saw, and were not compared"
    ]


def test_harm_where_the_candidate_ran_is_not_diluted_by_where_it_did_not() -> None:
    answer = answered(harmed("bank", 1000), cell(arm(9000), arm(0), cohort="shop"))

    assert answer.overall.verdict is Verdict.ROLL_BACK


def test_version_of_an_evaluator_is_found_by_the_evaluators_name() -> None:
    versions: dict[MetricKey, Moments] = {
        ("eval_fail_rate", "tone@1"): rate(20, 4000),
        ("eval_fail_rate", "tone@2"): rate(20, 4000),
    }
    answer = answered(cell(arm(moments=versions), arm(moments=versions)), asked=question(evaluators=["tone"]))

    evaluators = [row.evaluator for row in answer.overall.metrics if row.metric == "eval_fail_rate"]
    assert evaluators == ["tone@1", "tone@2"]


def test_what_else_may_have_caused_a_harm_is_told_and_holds_nothing_back() -> None:
    worse: dict[MetricKey, float] = {FAIL_RATE: 0.3}

    answer = answered(cell(arm(prompts={"v1": 4000}), arm(prompts={"v2": 4000}, rates=worse)))

    assert answer.overall.verdict is Verdict.ROLL_BACK
    assert answer.overall.reasons[-1] == "perhaps not the model's doing: confounders: the arms also differ in prompts"
    assert answer.cohorts[0].reasons[-1] == answer.overall.reasons[-1]


def test_a_rolled_back_candidate_goes_nowhere() -> None:
    worse: dict[MetricKey, float] = {FAIL_RATE: 0.3}

    answer = answered(cell(arm(), arm(rates=worse), cohort="bank"), plain("shop"))

    assert answer.overall.verdict is Verdict.ROLL_BACK
    assert [cohort.verdict for cohort in answer.cohorts] == [Verdict.ROLL_BACK, Verdict.SHIP]
    assert (answer.routing.base, answer.routing.candidate) == (["bank", "shop"], [])


def test_filters_that_no_trace_meets_are_named() -> None:
    asked = question(evaluators=("reword", EVALUATOR))
    asked = replace(asked, selection=replace(asked.selection, cohorts=("shop", "shoop"), routes=("fast",)))

    answer = answered(cell(arm(routes={"fast": 4000}), arm(routes={"fast": 4000})), asked=asked)

    assert [reason for reason in answer.overall.reasons if "spelling" in reason] == [
        "no trace of either arm in this window has the cohort 'shoop': check the spelling",
        "no trace of either arm in this window has the evaluator 'reword': check the spelling",
    ]
