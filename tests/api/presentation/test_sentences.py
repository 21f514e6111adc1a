"""The two sentences for a release manager."""
# ruff: noqa: RUF001 - the texts under test carry a true minus and a multiplication sign

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tracecanary.analytics.answer import CellState, Verdict
from tracecanary.api.presentation import summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracecanary.analytics.answer import Answer, MetricRow

_TUNED = "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm"
_BASE = "gpt-4.1-2025-04-14"


def test_narrow_names_the_cohort_to_keep_and_what_went_wrong_there(narrow_answer: Answer) -> None:
    assert summary(narrow_answer) == (
        f"Ship {_TUNED} in place of {_BASE} except in telecom: overall, the fail rate of task_reward is 20.7 pp lower "
        "(95 % interval −31.0 … −9.9 pp), though the cost per trace is 42 % higher. "
        f"Keep telecom on {_BASE}, where the cost per trace is 3.79 times the base's (95 % interval ×3.10 … ×4.60), "
        "beyond its margin of ×1.10; not verified on its own yet: travel (about 1,237 more traces in each arm)."
    )


def test_hold_says_what_is_open_what_is_missing_and_how_many_traces_it_takes(hold_answer: Answer) -> None:
    assert summary(hold_answer) == (
        f"Hold {_TUNED} and keep {_BASE} for now: overall, the fail rate of task_reward is 5.0 pp lower "
        "(95 % interval −15.0 … +6.0 pp), which could still be chance. "
        "The fail rate of task_reward, the error rate and 2 more are not settled overall: that takes about 1,240 more "
        "traces in each arm; the cost per trace is missing for the candidate; the tool error rate is missing in both "
        "arms; mind the check on coverage."
    )


def test_ship_names_the_strongest_gain_and_that_no_cohort_got_worse(ship_answer: Answer) -> None:
    assert summary(ship_answer) == (
        f"Ship {_TUNED} in place of {_BASE}: overall, the cost per trace is 99.3 % lower (95 % interval "
        "−99.4 … −99.3 %). None of the 2 cohorts shows a guardrail that got worse."
    )


def test_roll_back_gives_the_harm_although_another_metric_got_better(roll_back_answer: Answer) -> None:
    assert summary(roll_back_answer) == (
        f"Roll back {_TUNED} and stay on {_BASE}: overall, the error rate is 8.0 pp higher "
        "(95 % interval +6.0 … +10.0 pp), beyond its margin of +1.0 pp. Harm shows in 1 of 2 cohorts: airline."
    )


def test_roll_back_names_harm_in_a_critical_metric_before_larger_harm_in_another(
    roll_back_answer: Answer, make_row: Callable[..., MetricRow]
) -> None:
    rows = [
        make_row("cost_per_trace", (0.01, 0.09), 9.0, (8.0, 10.0), "harm"),
        make_row("eval_fail_rate", (0.05, 0.13), 0.08, (0.05, 0.11), "harm"),
    ]
    answer = roll_back_answer.model_copy(
        update={"overall": roll_back_answer.overall.model_copy(update={"metrics": rows})}
    )

    assert f"stay on {_BASE}: overall, the fail rate of task_reward is 8.0 pp higher" in summary(answer)


def test_roll_back_for_harm_in_cohorts_alone_does_not_argue_with_a_gain(roll_back_answer: Answer) -> None:
    better = [row for row in roll_back_answer.overall.metrics if row.state is CellState.BETTER]
    answer = roll_back_answer.model_copy(
        update={"overall": roll_back_answer.overall.model_copy(update={"metrics": better})}
    )

    assert summary(answer).startswith(
        f"Roll back {_TUNED} and stay on {_BASE}: in airline, the error rate is 8.0 pp higher"
    )


def test_empty_arm_says_so_and_how_many_traces_it_takes(empty_arm_answer: Answer) -> None:
    assert summary(empty_arm_answer) == (
        f"Hold {_TUNED} and keep {_BASE} for now: there is no trace of {_TUNED} in this window to compare with the "
        f"140 traces of {_BASE}. A decision needs about 1,865 traces in each arm."
    )


@pytest.mark.parametrize("verdict", list(Verdict))
def test_answer_with_nothing_in_it_still_reads_as_two_sentences(empty_arm_answer: Answer, verdict: Verdict) -> None:
    overall = empty_arm_answer.overall.model_copy(
        update={"metrics": [], "reasons": [], "verdict": verdict, "traces": empty_arm_answer.overall.traces}
    )
    seen = overall.model_copy(update={"traces": overall.traces.model_copy(update={"candidate": 1})})
    answer = empty_arm_answer.model_copy(update={"overall": seen})

    first, second = summary(answer).split(": ", 1)[1].split(". ")

    assert first == "no difference could be measured yet"
    assert second[0].isupper()
    assert second.endswith(".")


def test_ship_with_unverified_cohorts_lists_them(ship_answer: Answer) -> None:
    routing = ship_answer.routing.model_copy(update={"unverified": ["a", "b"]})

    text = summary(ship_answer.model_copy(update={"routing": routing}))

    assert text.endswith(". Not verified on their own yet: a and b.")
