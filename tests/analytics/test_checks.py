import dataclasses

import pytest
from tests.analytics.evidence_cases import EVALUATOR, Arm, Pair, answer, arm, cell, question, rate

from tracecanary.analytics.answer import Checks
from tracecanary.analytics.evidence import Tally

FAIL_RATE = ("eval_fail_rate", EVALUATOR)


def checks_of(*cells: Pair, arm_by: str = "model") -> Checks:
    return answer(*cells, asked=question(arm_by=arm_by)).checks


def with_factor(name: str, tally: Tally) -> Arm:
    one = arm(sum(tally.values()))
    return dataclasses.replace(one, side=dataclasses.replace(one.side, **{name: tally}))  # type: ignore[arg-type]  # by name


def factor_check(base: Tally, candidate: Tally, *, name: str = "releases", arm_by: str = "model") -> str | None:
    sides = [with_factor(name, tally) for tally in (base, candidate)]
    return checks_of(cell(*sides), arm_by=arm_by).confounders.reason


def test_equal_mixes_are_no_shift() -> None:
    check = checks_of(cell(arm(1000), arm(100), cohort="bank"), cell(arm(3000), arm(300), cohort="shop")).mix_shift

    assert (check.state, check.figures["total_variation"], check.figures["dropped_share"]) == ("ok", 0.0, 0.0)


def test_different_mixes_are_a_shift() -> None:
    check = checks_of(cell(arm(700), arm(300), cohort="bank"), cell(arm(300), arm(700), cohort="shop")).mix_shift

    assert check.state == "warning"
    assert check.figures["total_variation"] == pytest.approx(0.4)
    assert check.reason is not None
    assert check.reason.startswith("the arms saw different mixes of cohorts")


@pytest.mark.parametrize(("alone", "state"), [(200, "ok"), (300, "warning")])
def test_share_of_traces_that_one_arm_alone_saw_is_counted(alone: int, state: str) -> None:
    check = checks_of(cell(arm(1000), arm(1000)), cell(arm(alone), arm(0), cohort="odd")).mix_shift

    assert check.state == state
    assert check.figures["dropped_share"] == pytest.approx(alone / (2000 + alone))


def test_arm_without_traces_has_no_mix() -> None:
    check = checks_of(cell(arm(500), arm(0), cohort="bank"), cell(arm(500), arm(0), cohort="shop")).mix_shift

    assert (check.state, check.figures) == (
        "ok",
        {"p_value": None, "total_variation": None, "dropped_share": None, "metrics": []},
    )


def test_simpsons_paradox_is_found() -> None:
    # Better by 5 points in either cohort, worse by 5 overall: the candidate got the hard cohort.
    # Overall 0.2 * 0.8 + 0.5 * 0.2 = 0.26 for the base, 0.15 * 0.2 + 0.45 * 0.8 = 0.39 for the candidate.
    easy = cell(arm(800, rates={FAIL_RATE: 0.20}), arm(200, rates={FAIL_RATE: 0.15}), cohort="easy")
    hard = cell(arm(200, rates={FAIL_RATE: 0.50}), arm(800, rates={FAIL_RATE: 0.45}), cohort="hard")

    checks = checks_of(easy, hard)

    assert checks.simpson.state == "warning"
    assert checks.simpson.figures == {"metrics": ["eval_fail_rate (reward)"]}
    assert checks.mix_shift.state == "warning"


def test_differences_that_turn_round_by_chance_are_no_paradox() -> None:
    # Crude 101/2010 against 100/2000: +0.02 points. Standardised: -0.02. The mix is the same but for ten traces.
    one = cell(
        arm(1000, moments={FAIL_RATE: rate(0, 1000)}), arm(1000, moments={FAIL_RATE: rate(0, 1000)}), cohort="easy"
    )
    other = cell(
        arm(1000, moments={FAIL_RATE: rate(100, 1000)}), arm(1010, moments={FAIL_RATE: rate(101, 1010)}), cohort="hard"
    )
    down = cell(
        arm(1000, moments={FAIL_RATE: rate(10, 1000)}), arm(1000, moments={FAIL_RATE: rate(9, 1000)}), cohort="third"
    )

    assert checks_of(one, other, down).simpson.state == "ok"


@pytest.mark.parametrize(("contaminated", "state"), [(40, "ok"), (41, "warning")])
def test_contamination_of_either_arm_counts(contaminated: int, state: str) -> None:
    assert checks_of(cell(arm(), arm(contaminated=contaminated))).contamination.state == state
    assert checks_of(cell(arm(contaminated=contaminated), arm())).contamination.state == state


def test_coverage_names_what_one_arm_lacks() -> None:
    check = checks_of(cell(arm(), arm(evaluated=3000, without_root=1000))).coverage

    assert check.reason == (
        "evaluated: 100% of the base's traces, 75% of the candidate's; "
        "without a root span: 0% of the base's traces, 25% of the candidate's"
    )


def test_arms_whose_retries_are_not_equally_visible_are_not_equally_covered() -> None:
    check = checks_of(cell(arm(retries_visible=4000), arm(retries_visible=3600))).coverage

    assert check.reason == "retries visible: 100% of the base's traces, 90% of the candidate's"
    assert (check.figures["base_retries_visible"], check.figures["candidate_retries_visible"]) == (1.0, 0.9)


def test_different_shares_of_marked_traces_are_told_but_hold_nothing() -> None:
    result = answer(cell(arm(with_thumbs=400), arm(with_thumbs=800)))

    assert result.checks.coverage.reason == "marked by a person: 10% of the base's traces, 20% of the candidate's"
    assert result.overall.verdict == "ship"


def test_losses_are_told_but_block_nothing() -> None:
    result = answer(cell(arm(without_root=4, with_dropped_attributes=1), arm()))

    assert result.checks.losses.state == "warning"
    assert result.overall.verdict == "ship"


@pytest.mark.parametrize(("lost", "verdict"), [(200, "ship"), (201, "hold")])
def test_spans_lost_in_one_arm_hold(lost: int, verdict: str) -> None:
    result = answer(cell(arm(), arm(with_lost_spans=lost)))

    assert result.checks.losses.state == "warning"
    assert result.overall.verdict == verdict


def test_arms_that_were_sampled_alike_are_compared_as_they_are() -> None:
    check = checks_of(cell(arm(sampling_weight_milli=40_000_000), arm(sampling_weight_milli=40_000_000))).sampling

    assert (check.state, check.figures) == ("ok", {"base_weight": 10.0, "candidate_weight": 10.0})


def test_arms_that_were_sampled_differently_hold() -> None:
    result = answer(cell(arm(sampling_weight_milli=4_000_000), arm(sampling_weight_milli=40_000_000)))

    assert result.overall.verdict == "hold"
    assert result.overall.reasons[0].startswith(
        "sampling: a trace of the base stands for 1, one of the candidate for 10"
    )


@pytest.mark.parametrize(
    ("base", "candidate", "is_confounded"),
    [
        pytest.param({"search@1": 500}, {"search@1": 500}, False, id="same"),
        pytest.param({"search@1": 500}, {"search@2": 500}, True, id="another-version"),
        pytest.param({"search@1": 500, "map@3": 10}, {"search@1": 400, "map@3": 400}, False, id="another-tool-chosen"),
        pytest.param({"search@1": 500}, {"search@1": 400, "map@3": 400}, False, id="a-tool-of-one-arm-alone"),
        pytest.param({"search@1": 450, "search@2": 50}, {"search@1": 50, "search@2": 450}, True, id="other-shares"),
        pytest.param({"retriever@faq": 500}, {"retriever@faq-2": 500}, True, id="another-index"),
        pytest.param(
            {"retriever@faq": 400, "retriever@law": 100},
            {"retriever@faq": 100, "retriever@law": 400},
            False,
            id="the-model-chose-among-the-same-data",
        ),
    ],
)
def test_tool_of_another_version_is_a_confounder(base: Tally, candidate: Tally, is_confounded: bool) -> None:
    sides = [arm(500, tool_versions=tally) for tally in (base, candidate)]

    reason = checks_of(cell(*sides)).confounders.reason

    assert reason == ("the arms also differ in tool versions" if is_confounded else None)


@pytest.mark.parametrize(
    ("base", "candidate", "is_confounded"),
    [
        pytest.param({"r1": 500}, {"r1": 500}, False, id="same"),
        pytest.param({"r1": 500}, {"r2": 500}, True, id="apart"),
        pytest.param({"r1": 499, "r0": 1}, {"r1": 500}, False, id="a-stray-trace"),
        pytest.param({"r1": 450, "r2": 50}, {"r1": 50, "r2": 450}, True, id="same-values-other-shares"),
        pytest.param({"(none)": 500}, {"r1": 500}, True, id="known-in-one-arm-only"),
        pytest.param({"(none)": 500}, {"(none)": 500}, False, id="known-in-neither"),
        pytest.param({"r1": 10}, {"r1": 8, "r2": 2}, False, id="too-few-to-tell"),
    ],
)
def test_confounder_is_a_factor_with_other_shares(base: Tally, candidate: Tally, is_confounded: bool) -> None:
    expected = "the arms also differ in releases" if is_confounded else None

    assert factor_check(base, candidate) == expected


@pytest.mark.parametrize(("arm_by", "factor"), [("release", "releases"), ("prompt", "prompts")])
def test_factor_that_tells_the_arms_apart_is_no_confounder(arm_by: str, factor: str) -> None:
    assert factor_check({"x": 500}, {"y": 500}, name=factor, arm_by=arm_by) is None
    assert factor_check({"x": 500}, {"y": 500}, name=factor) == f"the arms also differ in {factor}"


def test_confounders_name_the_values() -> None:
    sides = [arm(500, routes={"slow": 100, "fast": 400}), arm(500, routes={"canary": 500})]

    figures = checks_of(cell(*sides)).confounders.figures

    assert (figures["base_routes"], figures["candidate_routes"]) == (["fast", "slow"], ["canary"])


def test_sample_ratio_counts_all_traces_and_knows_no_plan() -> None:
    check = checks_of(cell(arm(1000), arm(1000)), cell(arm(50), arm(0), cohort="odd")).sample_ratio

    assert (check.state, check.figures) == ("unknown", {"base": 1050, "candidate": 1000})
