"""The comment on a pull request."""
# ruff: noqa: RUF001 - the texts under test carry a true minus

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from markdown_it import MarkdownIt

from tracecanary.api.presentation import answer_markdown
from tracecanary.api.presentation.markdown import escaped

if TYPE_CHECKING:
    from tracecanary.analytics.answer import Answer


def _rendered(text: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(text))


def test_headline_then_summary_then_table(narrow_answer: Answer) -> None:
    lines = answer_markdown(narrow_answer).splitlines()

    assert lines[0] == "### tracecanary: Narrow the route"
    assert lines[2].startswith("Ship ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm in place of")
    assert "| cohort | metric | base | candidate | effect | 95 % interval | state |" in lines
    assert (
        "| **telecom** (650 / 650 runs): keep on base | task\\_reward fails | 30.0 % | 42.0 % | +12.0 pp "
        "| +4.1 … +19.7 pp | ✗ harmful |"
    ) in lines


def test_reasons_checks_and_routing_follow(hold_answer: Answer) -> None:
    text = answer_markdown(hold_answer)

    assert "- **Warning, coverage**: only 71 % of the candidate's traces were judged" in text
    assert "- unknown: lost spans" in text
    assert "- Not verified yet: airline, retail, telecom" in text
    assert "- **airline**: a guardrail is not settled" in text


def test_held_out_answers_stand_beside_live_traffic(side_by_side_answer: Answer) -> None:
    lines = answer_markdown(side_by_side_answer).splitlines()

    start = lines.index("#### Held-out answers and live traffic")
    assert lines[start + 2] == ("400 pairs of answers to the same request; 1,000 and 1 trace have no partner.")
    overall, telecom = lines[start + 6 : start + 8]
    assert overall.startswith("| overall | task\\_reward fails | −1.0 pp | −3.0 … +0.8 pp | ✓ safe | −1.0 pp |")
    assert telecom.startswith("| telecom | task\\_reward fails | −8.0 pp | −12.0 … −4.0 pp | ▼ better |")
    assert telecom.endswith("| +12.0 pp | +4.1 … +19.7 pp | ✗ harmful |")


def test_hostile_name_stays_one_cell_of_text(hostile_answer: Answer) -> None:
    html = _rendered(answer_markdown(hostile_answer))

    body_rows = html.split("<tbody>")[1].split("</tbody>")[0].split("</tr>")[:-1]
    assert [row.count("<td") for row in body_rows] == [7, 7, 7]
    assert "<script" not in html
    assert "<a " not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;|[x](javascript:1)" in html


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("a|b", r"a\|b", id="table-cell"),
        pytest.param("snake_case*", r"snake\_case\*", id="emphasis"),
        pytest.param("<b>", r"\<b\>", id="html"),
        pytest.param("@team", "@<!-- -->team", id="mention"),
        pytest.param("- item", r"\- item", id="list-item"),
        pytest.param("1. item", r"1\. item", id="numbered-item"),
        pytest.param("ft:gpt-4.1", "ft:gpt-4.1", id="model-name-untouched"),
        pytest.param("two\n# lines", r"two \# lines", id="one-line"),
    ],
)
def test_special_characters_are_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown
