from tests.analytics.evidence_cases import Arm, answer, arm, cell, mean

from tracecanary.analytics.answer import Check, MetricRow
from tracecanary.analytics.cost_check import check_costs
from tracecanary.analytics.evidence import ArmSide, CostGap, MetricKey, Tally

REPORTED = {"reported": 200}
COST: MetricKey = ("cost_per_trace", None)


def side(sources: Tally, unpriced: Tally | None = None) -> ArmSide:
    return ArmSide(traces=sum(sources.values()), cost_sources=sources, unpriced_models=unpriced or {})


def cost_row(base: Arm, candidate: Arm) -> tuple[MetricRow, Check]:
    made = answer(cell(base, candidate))
    (row,) = [row for row in made.overall.metrics if row.metric == "cost_per_trace"]
    return row, made.checks.costs


def test_costs_of_one_source_are_no_problem() -> None:
    check = check_costs(side(REPORTED), side({"reported": 50}), [], [])

    assert (check.state, check.reason, check.is_blocking) == ("ok", None, False)


def test_models_without_a_price_are_named_with_their_traces() -> None:
    check = check_costs(side(REPORTED), side({"(none)": 140}, {"my-ft": 140, "judge": 2}), [], [])

    assert check.reason == "no price for my-ft in 140, judge in 2 of the candidate's 140 traces"
    assert check.figures["candidate_unpriced_models"] == ["judge", "my-ft"]


def test_costs_of_different_sources_are_told_apart_but_for_a_few() -> None:
    apart = check_costs(side(REPORTED), side({"file": 200}), [], [])
    stray = check_costs(side(REPORTED), side({"reported": 196, "mixed": 4}), [], [])

    assert apart.reason is not None
    assert apart.reason.startswith("costs are reported by the instrumentation in the base, from the price file in the")
    assert stray.reason is None


def test_a_reported_cost_far_from_the_computed_one_names_the_model() -> None:
    gaps = [
        CostGap(model="gpt-4.1", calls=1908, reported_usd=8.8156, computed_usd=27.549),
        CostGap(model="near", calls=9, reported_usd=1.0, computed_usd=1.04),
    ]

    check = check_costs(side(REPORTED), side(REPORTED), gaps, [])

    assert check.reason == "gpt-4.1: 8.816 USD reported, 27.55 computed for 1908 calls"
    assert check.figures["reported_cost_differs"] == ["gpt-4.1"]


def test_a_candidate_that_would_ship_by_costs_of_another_source_is_held() -> None:
    costs = {COST: mean(0.05, 4000, deviation=0.01)}

    row, check = cost_row(
        arm(moments=costs, cost_sources={"reported": 4000}), arm(moments=costs, cost_sources={"genai-prices": 4000})
    )

    assert row.state == "safe"
    assert check.is_blocking


def test_a_row_without_a_cost_says_which_model_has_no_price() -> None:
    row, _ = cost_row(arm(moments={COST: mean(0.05, 4000)}), arm(unpriced_models={"my-ft": 4000}))

    assert row.reason == "the candidate has no price in any of its 4000 traces: no price for my-ft in 4000 traces"
