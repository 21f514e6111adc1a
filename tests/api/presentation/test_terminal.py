"""The table in a terminal."""
# ruff: noqa: RUF001 - the texts under test carry a true minus, a multiplication sign and an en dash

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from tracecanary.api.presentation import answer_table, answer_view

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tracecanary.analytics.answer import Answer


def _printed(renderable: RenderableType, *, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width, no_color=True, legacy_windows=False)
    console.print(renderable)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("width", [100, 120])
@pytest.mark.parametrize(
    "name", ["narrow_answer", "hold_answer", "ship_answer", "hostile_answer", "side_by_side_answer"]
)
def test_numbers_stay_whole_and_lines_fit(request: pytest.FixtureRequest, name: str, width: int) -> None:
    answer: Answer = request.getfixturevalue(name)

    printed = _printed(answer_view(answer), width=width)

    assert max(map(len, printed.splitlines())) <= width
    assert "…\n" not in printed


def test_row_shows_both_arms_effect_interval_and_state_without_colour(narrow_answer: Answer) -> None:
    lines = [" ".join(words) for words in _lines(_printed(answer_table(narrow_answer)))]

    assert "telecom task_reward fails 30.0 % 42.0 % +12.0 pp +4.1 … +19.7 pp ✗ harmful" in lines
    assert "650 / 650 runs cost per trace $0.0660 $0.2500 ×3.79 ×3.10 … ×4.60 ✗ harmful" in lines


def test_held_out_answers_stand_beside_live_traffic(side_by_side_answer: Answer) -> None:
    lines = [" ".join(words) for words in _lines(_printed(answer_view(side_by_side_answer)))]

    assert "Held-out answers and live traffic" in lines
    at = lines.index("telecom task_reward fails −8.0 pp ▼ better +12.0 pp ✗ harmful")
    assert lines[at + 1] == "−12.0 … −4.0 pp +4.1 … +19.7 pp"


def test_overall_comes_first(narrow_answer: Answer) -> None:
    first_cells = [line[0] for line in _lines(_printed(answer_table(narrow_answer))) if line]

    assert first_cells[:1] == ["cohort"]
    assert [c for c in first_cells if c in {"overall", "airline", "telecom", "travel"}] == [
        "overall",
        "airline",
        "telecom",
        "travel",
    ]


def test_unbounded_side_and_missing_cost_are_told_apart_from_numbers(hold_answer: Answer) -> None:
    printed = _printed(answer_table(hold_answer))

    assert "−19 % … ∞  · too few" in printed
    assert ["cost", "per", "trace", "$0.0630", "–", "–", "–", "·", "no", "data"] in _lines(printed)


def test_required_metric_without_any_value_keeps_its_row(hold_answer: Answer) -> None:
    assert "tool error rate" in _printed(answer_table(hold_answer))


def test_guardrail_that_got_worse_is_shown_though_not_asked_for(narrow_answer: Answer) -> None:
    assert "retry rate" in _printed(answer_table(narrow_answer))


def test_asked_for_metrics_are_the_only_ones_and_in_that_order(narrow_answer: Answer) -> None:
    table = answer_table(narrow_answer, metrics=["output_tokens", "eval_fail_rate"])

    printed = _printed(table)

    assert printed.index("output tokens") < printed.index("task_reward fails")
    assert "cost per trace" not in printed


def test_view_names_recorded_metrics_that_it_leaves_out(narrow_answer: Answer) -> None:
    assert "Recorded but not shown: output tokens." in _printed(answer_view(narrow_answer))


def test_view_lists_reasons_and_only_the_checks_that_warn(hold_answer: Answer) -> None:
    printed = _printed(answer_view(hold_answer))

    assert "- too few traces" in printed
    assert "- coverage: only 71 % of the candidate's traces were judged" in printed
    assert "lost spans" not in printed


def test_name_cannot_send_terminal_codes_or_markup(hostile_answer: Answer) -> None:
    printed = _printed(answer_view(hostile_answer))

    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "[31mred" in printed


def test_confidence_of_the_question_heads_the_interval(ship_answer: Answer) -> None:
    question = ship_answer.question.model_copy(update={"confidence": 0.9})

    assert "90 % interval" in _printed(answer_table(ship_answer.model_copy(update={"question": question})))
