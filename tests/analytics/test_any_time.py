"""Answers for any time: clusters, caps, pairs, periods, the split, and losses that have a name."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.analytics.evidence_cases import EVALUATOR, Moments, Pair, arm, cell, evidence, mean, question, rate, row_of

from tracecanary.analytics.answer import Answer, CellState, Verdict
from tracecanary.analytics.comparison import answer_question
from tracecanary.analytics.evidence import ArmSide, Evidence, MetricKey, Period
from tracecanary.analytics.policy import Policy, parse_policy
from tracecanary.analytics.question import Question
from tracecanary.analytics.statistics.pairs import PairedHits
from tracecanary.analytics.statistics.standardise import GROUPS, GroupSums

FAIL_RATE = ("eval_fail_rate", EVALUATOR)
COST = ("cost_per_trace", None)
ERRORS = ("error_rate", None)
Floats = NDArray[np.float64]


def any_time(**more: object) -> Question:
    return question(at_n=None, **more)  # type: ignore[arg-type]  # by the names of question()


def answered(*cells: Pair, **changes: object) -> Answer:
    return answer_question(any_time(), replace(evidence(cells), **changes))  # type: ignore[arg-type]  # by name


def with_values(found: Evidence, **changes: object) -> Evidence:
    return replace(found, values=replace(found.values, **changes))  # type: ignore[arg-type]  # by name


def test_an_answer_for_any_time_needs_more_traces_than_one_look() -> None:
    few, many = (cell(arm(traces), arm(traces)) for traces in (3000, 12_000))

    assert answered(few).overall.verdict is Verdict.HOLD
    assert answered(many).overall.verdict is Verdict.SHIP
    row, one_look = (
        row_of(answer_question(asked, evidence([few])).overall.metrics, *FAIL_RATE)
        for asked in (any_time(), question())
    )
    assert row.ci_high is not None
    assert one_look.ci_high is not None
    assert row.ci_high / one_look.ci_high == pytest.approx(3.035 / 1.96, rel=0.05)


def clustered(found: Evidence, shares: Floats, *, is_paired: bool = False) -> Evidence:
    """Spread every sum over the cluster groups, in these shares for n and hits."""
    sums = found.values.sums
    n, hits = (sums.n * shares[0], sums.total * shares[1])
    return with_values(
        found,
        sums=GroupSums(n=n, total=hits, squares=hits, cubes=hits, is_clustered=True, is_paired=is_paired),
        histograms={},
    )


def test_failures_of_a_few_users_widen_the_interval() -> None:
    found = evidence([cell(arm(8000), arm(8000))])
    even = np.full(GROUPS, 1 / GROUPS)
    few = np.where(np.arange(GROUPS) < 8, 1 / 8, 0.0)

    spread, lumped = (
        row_of(answer_question(any_time(), clustered(found, np.stack([even, hits]))).overall.metrics, *FAIL_RATE)
        for hits in (even, few)
    )

    assert spread.ci_high is not None
    assert lumped.ci_high is not None
    assert lumped.ci_high > 2 * spread.ci_high


def test_a_whale_decides_nothing() -> None:
    whale = np.where(np.arange(GROUPS) == 0, 0.4, 0.6 / (GROUPS - 1))
    found = clustered(evidence([cell(arm(8000), arm(8000))]), np.stack([whale, whale]))

    row = row_of(answer_question(any_time(), found).overall.metrics, *ERRORS)

    assert row.state is CellState.NO_DATA
    assert row.reason == "one group of users or conversations has 40% of an arm's traces: it would decide alone"


def test_a_handful_of_users_decides_nothing() -> None:
    handful = np.where(np.arange(GROUPS) < 8, 1 / 8, 0.0)
    found = clustered(evidence([cell(arm(8000), arm(8000))]), np.stack([handful, handful]))

    row = row_of(answer_question(any_time(), found).overall.metrics, *ERRORS)

    assert row.reason == "an arm's users or conversations make 8 groups; an interval takes 20"


def capped(found: Evidence, tails: tuple[int, int]) -> Evidence:
    """Say how many values of the cost lie above the cap; what they have beyond it is left aside."""
    sums = found.values.sums
    n = np.zeros_like(sums.n)
    column = found.values.keys.index(COST)
    n[0, 0, :, column, 0] = tails
    none = np.zeros_like(n)
    made = with_values(found, tails=GroupSums(n=n, total=none, squares=none, cubes=none))
    return replace(made, caps={"cost_per_trace": 5.0})


@pytest.mark.parametrize(
    ("tails", "state"),
    [((12, 12), CellState.SAFE), ((12, 65), CellState.UNSURE), ((12, 400), CellState.HARM)],
)
def test_rare_runaway_traces_do_not_hide_behind_the_cap(tails: tuple[int, int], state: CellState) -> None:
    prices: dict[MetricKey, Moments] = {COST: mean(1.0, 12_000, deviation=0.3)}
    found = capped(evidence([cell(arm(12_000, moments=prices), arm(12_000, moments=prices))]), tails)

    row = row_of(answer_question(any_time(), found).overall.metrics, *COST)

    assert row.state is state
    assert row.effect == pytest.approx(1.0)
    if state is not CellState.SAFE:
        assert row.reason is not None
        assert f"{tails[1] / 12_000:.2%} of the candidate's traces lie far above the base's usual range" in row.reason


def test_a_wrong_split_holds_whatever_the_metrics_say() -> None:
    asked = any_time(policy=Policy(candidate_share=0.5))
    right = answer_question(asked, evidence([cell(arm(12_000), arm(12_000))]))
    wrong = answer_question(asked, evidence([cell(arm(12_000), arm(14_000, rates={FAIL_RATE: 0.3}))]))

    assert (right.checks.sample_ratio.state, right.overall.verdict) == ("ok", Verdict.SHIP)
    assert wrong.overall.verdict is Verdict.HOLD
    assert wrong.overall.reasons[0] == (
        "sample_ratio: the candidate got 53.8% of the traffic, not 50.0%: mend the split first"
    )
    assert wrong.routing.unverified == ["shop"]


def test_negative_transfer_is_named() -> None:
    # All together gain by 5 points, in one cohort it loses by 8.
    better: dict[MetricKey, float] = {FAIL_RATE: 0.10}
    worse: dict[MetricKey, float] = {FAIL_RATE: 0.28}
    base: dict[MetricKey, float] = {FAIL_RATE: 0.20}

    made = answered(
        cell(arm(12_000, rates=base), arm(12_000, rates=better), cohort="shop"),
        cell(arm(4000, rates=base), arm(4000, rates=worse), cohort="telecom"),
    )

    assert [(finding.kind, finding.cohort) for finding in made.overall.findings] == [("negative_transfer", "telecom")]
    assert made.overall.verdict is Verdict.NARROW
    assert "negative transfer: telecom loses in eval_fail_rate (reward) while the whole gains" in made.overall.reasons
    assert made.routing.base == ["telecom"]


def test_forgetting_a_critical_evaluator_is_named() -> None:
    policy = parse_policy(
        {"version": 1, "evaluators": {EVALUATOR: {"margin": 0.005, "critical": True}}}, name="policy.yaml"
    )
    kept: dict[MetricKey, float] = {FAIL_RATE: 0.001}
    lost: dict[MetricKey, float] = {FAIL_RATE: 0.03}

    made = answer_question(any_time(policy=policy), evidence([cell(arm(rates=kept), arm(rates=lost))]))

    assert made.overall.verdict is Verdict.ROLL_BACK
    assert {finding.kind for finding in made.overall.findings} == {"forgetting"}
    assert "0.10% of the base's traces failed it, 3.00% of the candidate's" in made.overall.findings[0].text


def test_pairs_stand_beside_all_traces() -> None:
    live = cell(arm(12_000), arm(12_000, rates={FAIL_RATE: 0.08}))
    pairs = {("shop", FAIL_RATE): PairedHits(both=300, base_only=400, candidate_only=60, neither=3000)}

    made = answered(live, pairs=pairs)

    assert made.paired is not None
    assert (made.paired.pairs, made.paired.unpaired.base) == (3760, 8240)
    overall, shop = made.paired.rows
    assert (overall.cohort, shop.cohort) == (None, "shop")
    assert shop.state is CellState.BETTER
    assert shop.effect == pytest.approx(-340 / 3760)
    assert shop.p_value is not None
    assert shop.p_value < 1e-50


def test_what_wins_offline_and_loses_live_is_named_with_its_cohort() -> None:
    base: dict[MetricKey, float] = {FAIL_RATE: 0.20}
    held_out = [cell(arm(rates=base), arm(rates={FAIL_RATE: 0.15}), cohort=cohort) for cohort in ("shop", "telecom")]
    live = [
        cell(arm(rates=base), arm(rates={FAIL_RATE: 0.18}), cohort="shop"),
        cell(arm(rates=base), arm(rates={FAIL_RATE: 0.30}), cohort="telecom"),
    ]
    pairs = {("shop", FAIL_RATE): PairedHits(both=3000, base_only=500, candidate_only=300, neither=200)}

    made = answered(*live, pairs=pairs, held_out=evidence(held_out), live=evidence(live))

    named = [finding for finding in made.overall.findings if finding.kind == "won_offline_loses_live"]
    assert [(one.cohort, one.metric, one.text) for one in named if one.cohort] == [
        ("telecom", "eval_fail_rate", "eval_fail_rate (reward) won offline, loses live in telecom")
    ]
    assert made.paired is not None
    assert made.paired.held_out is not None
    assert made.paired.live is not None
    offline, online = (row_of(part.cohorts[1].metrics, *FAIL_RATE) for part in (made.paired.held_out, made.paired.live))
    assert (offline.state, online.state) == (CellState.BETTER, CellState.HARM)
    assert [cohort.verdict for cohort in made.paired.live.cohorts] == [Verdict.SHIP, Verdict.ROLL_BACK]


def periods(found: Evidence, second: Evidence) -> Evidence:
    """Put two pieces of evidence one after the other in time."""
    one, other = found.values, second.values

    def joined(name: str) -> Floats:
        both = [getattr(values.sums, name) for values in (one, other)]
        return np.concatenate(both, axis=1)

    traces = np.concatenate([one.traces, other.traces], axis=1)
    return replace(
        found,
        cells=[
            replace(early, base=_added(early.base, late.base), candidate=_added(early.candidate, late.candidate))
            for early, late in zip(found.cells, second.cells, strict=True)
        ],
        values=replace(
            one,
            sums=GroupSums(n=joined("n"), total=joined("total"), squares=joined("squares"), cubes=joined("cubes")),
            traces=traces,
            units=traces,
            histograms={},
        ),
        periods=[Period(start=None, days=5.0), Period(start=datetime(2026, 1, 6, tzinfo=UTC), days=2.0)],
    )


def _added(one: ArmSide, other: ArmSide) -> ArmSide:
    return replace(one, traces=one.traces + other.traces, evaluated=one.evaluated + other.evaluated)


def rates_only() -> Policy:
    return parse_policy(
        {"version": 1, "metrics": {f"latency_{p}": {"role": "informative"} for p in ("p50", "p95", "p99")}}, name="test"
    )


def test_a_drift_during_a_ramp_is_no_difference_of_the_arms() -> None:
    early: dict[MetricKey, float] = {ERRORS: 0.01}
    late: dict[MetricKey, float] = {ERRORS: 0.06}
    first = evidence([cell(arm(19_000, rates=early), arm(1000, rates=early))])
    second = evidence([cell(arm(10_000, rates=late), arm(10_000, rates=late))])

    made = answer_question(any_time(policy=rates_only()), periods(first, second))

    row = row_of(made.overall.metrics, *ERRORS)
    assert row.effect == pytest.approx(0.0, abs=1e-12)
    assert row.crude_effect == pytest.approx(0.05545 - 0.02724, abs=1e-4)
    assert row.state is not CellState.HARM
    assert row.latest_effect == pytest.approx(0.0, abs=1e-12)
    assert made.checks.time.figures["periods"] == 2


def test_overall_rows_tell_how_much_cohorts_differ_and_what_could_be_detected() -> None:
    worse: dict[MetricKey, float] = {FAIL_RATE: 0.04}

    made = answered(cell(arm(), arm(), cohort="shop"), cell(arm(), arm(rates=worse), cohort="telecom"))

    row, of_cohort = row_of(made.overall.metrics, *FAIL_RATE), row_of(made.cohorts[0].metrics, *FAIL_RATE)
    # Effects of 0 and 2 points with errors of 0.31 and 0.38: Q = 0.02^2 / (0.0031^2 + 0.0038^2) = 16.5.
    assert row.i_squared == pytest.approx(1 - 1 / 16.5, abs=0.01)
    assert row.heterogeneity_p_value == pytest.approx(5e-5, abs=3e-5)
    assert (of_cohort.i_squared, of_cohort.heterogeneity_p_value, row.latest_effect) == (None, None, None)
    # 4,000 of each arm at 2 %: (3.1 + 0.84) times an error of 0.31 points.
    assert of_cohort.detectable_effect == pytest.approx(0.0123, abs=0.0003)


def test_harm_since_the_latest_step_is_not_averaged_away() -> None:
    plain: dict[MetricKey, float] = {ERRORS: 0.02}
    broken: dict[MetricKey, float] = {ERRORS: 0.05}
    better: dict[MetricKey, float] = {ERRORS: 0.005}
    first = evidence([cell(arm(30_000, rates=plain), arm(30_000, rates=better))])
    second = evidence([cell(arm(9000, rates=plain), arm(6000, rates=broken))])

    made = answer_question(any_time(policy=rates_only()), periods(first, second))

    assert row_of(made.overall.metrics, *ERRORS).state in {CellState.SAFE, CellState.BETTER}
    assert made.checks.time.figures["latest_harms"] == ["error_rate"]
    assert made.overall.verdict is Verdict.HOLD


def test_arms_that_hardly_ran_side_by_side_hold() -> None:
    made = answered(cell(arm(12_000), arm(12_000)), side_by_side=0.2)

    assert made.checks.time.is_blocking
    assert made.overall.verdict is Verdict.HOLD
    assert "80% of the candidate's traces came at times when the base had none" in made.overall.reasons[0]


def test_what_is_missing_comes_with_about_when() -> None:
    made = answered(cell(arm(3000), arm(3000)), periods=[Period(start=None, days=10.0)])

    waiting = [row.more_traces for row in made.overall.metrics if row.state is CellState.UNSURE and row.more_traces]
    assert made.overall.settled_by is not None
    expected = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=max(waiting) * 10 / 3000)
    assert abs(made.overall.settled_by - expected) < timedelta(minutes=1)
    assert any("at the present rate that is about 2026-01" in reason for reason in made.overall.reasons)


def test_a_harm_that_stands_among_many_has_an_interval_of_raised_confidence() -> None:
    harmed = cell(arm(), arm(rates={FAIL_RATE: 0.2}), cohort="bank")

    made = answered(harmed, cell(arm(), arm(), cohort="shop"))

    bank = next(cohort for cohort in made.cohorts if cohort.cohort == "bank")
    raised = row_of(bank.metrics, *FAIL_RATE)
    assert raised.ci_confidence is not None
    # One finding among two cohorts' tests of six guardrails each.
    assert raised.ci_confidence == pytest.approx(1 - 0.05 / 12)
    assert row_of(bank.metrics, *ERRORS).ci_confidence == 0.95


def test_a_billion_traces_are_answered() -> None:
    n = 10**9
    many: dict[MetricKey, Moments] = {key: rate(n // 50, n) for key in (FAIL_RATE, ERRORS, ("tool_error_rate", None))}
    found = evidence([cell(replace(arm(2000), moments=many), replace(arm(2000), moments=many))])

    row = row_of(answer_question(any_time(), found).overall.metrics, *ERRORS)

    assert row.ci_high is not None
    assert 0 < row.ci_high < 1e-4
