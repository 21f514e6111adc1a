"""Names, states and verdicts as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tracecanary.api.presentation.wording import counted, metric_label, name_list, plain, state_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracecanary.analytics.answer import MetricRow


@pytest.mark.parametrize(
    ("values", "text"),
    [
        pytest.param((0.1, 0.2), "too few", id="both-arms-measured"),
        pytest.param((0.1, None), "no data", id="candidate-missing"),
        pytest.param((None, None), "no data", id="nothing-measured"),
    ],
)
def test_no_data_tells_few_traces_from_none(
    make_row: Callable[..., MetricRow], values: tuple[float | None, float | None], text: str
) -> None:
    assert state_text(make_row("error_rate", values)) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c"], "a, b and c"),
        (["a", "b", "c", "d", "e"], "a, b and 3 more"),
    ],
)
def test_names_join_as_prose(names: list[str], text: str) -> None:
    assert name_list(names) == text


def test_counts_agree_with_their_noun() -> None:
    assert [counted(n, "trace") for n in (0, 1, 1200)] == ["0 traces", "1 trace", "1,200 traces"]


def test_control_and_reordering_characters_in_a_name_become_visible() -> None:
    assert plain("\x1b[31mred\u202e\nname\t") == "\ufffd[31mred\ufffd name"


def test_blank_name_stays_visible() -> None:
    assert plain(" \n") == "(no name)"


def test_metric_of_the_users_own_reads_by_its_name(make_row: Callable[..., MetricRow]) -> None:
    row = make_row("error_rate", (0.1, 0.1)).model_copy(update={"metric": "refund_rate", "evaluator": "judge"})

    assert metric_label(row) == "refund rate (judge)"
