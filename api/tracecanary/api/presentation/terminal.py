"""The answer for a terminal: a table by cohort, and the view with verdict, reasons and warnings around it.

Every value goes in as `Text`, never as markup: a model called `[red]` is a name. Meaning stands in words; colour only
repeats it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from tracecanary.analytics.answer import CellState, Verdict
from tracecanary.api.presentation.figures import effect_text, interval_text, value_text
from tracecanary.api.presentation.selection import CohortRows, labels_left_out, rows_by_cohort
from tracecanary.api.presentation.sentences import summary
from tracecanary.api.presentation.side_by_side import pairs_sentence, side_by_side_lines
from tracecanary.api.presentation.wording import (
    CHECK_LABELS,
    STATE_SYMBOLS,
    metric_label,
    percent_text,
    plain,
    runs_text,
    state_text,
    verdict_word,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from tracecanary.analytics.answer import Answer, MetricRow
    from tracecanary.api.presentation.side_by_side import SideBySideLine

_STATE_STYLES = {
    CellState.SAFE: "green",
    CellState.BETTER: "bold green",
    CellState.HARM: "bold red",
    CellState.WORSE: "yellow",
    CellState.UNSURE: "",
    CellState.NO_DATA: "dim",
}
_VERDICT_STYLES = {
    Verdict.SHIP: "bold green",
    Verdict.NARROW: "bold yellow",
    Verdict.HOLD: "bold yellow",
    Verdict.ROLL_BACK: "bold red",
}
# So that a hundred columns hold the numbers unbroken: longer names fold.
_NAME_COLUMNS = 20
# What the table of a demo takes without breaking a word.
MIN_COLUMNS = 100
_METRIC_COLUMNS = 19


def table_console() -> Console:
    """Return a console that is wide enough for the table: a narrower terminal wraps its lines, but loses no column."""
    console = Console()
    return console if console.width >= MIN_COLUMNS else Console(width=MIN_COLUMNS)


def answer_view(answer: Answer, *, metrics: Sequence[str] | None = None) -> RenderableType:
    """Lay out the whole answer: verdict, summary, table, reasons and the checks that need a look.

    Args:
        answer: The comparison.
        metrics: Metric names to show; default: the ones that matter.
    """
    headline = Text(verdict_word(answer.overall.verdict).upper(), _VERDICT_STYLES[answer.overall.verdict])
    parts: list[RenderableType] = [headline, Text(summary(answer)), Text(""), answer_table(answer, metrics=metrics)]
    left_out = labels_left_out(answer, rows_by_cohort(answer, metrics=metrics))
    if left_out:
        parts.append(Text(f"Recorded but not shown: {', '.join(left_out)}.", "dim"))
    parts += _side_by_side(answer, metrics)
    parts += _listed("Reasons", [*map(plain, answer.overall.reasons), *_cohort_reasons(answer)])
    parts += _listed("Checks that need a look", check_warnings(answer))
    return Group(*parts)


def answer_table(answer: Answer, *, metrics: Sequence[str] | None = None) -> Table:
    """Build the table by cohort, overall first: both arms, effect, interval and state of each metric.

    Args:
        answer: The comparison.
        metrics: Metric names to show; default: the ones that matter.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("cohort", overflow="fold", max_width=_NAME_COLUMNS)
    table.add_column("metric", overflow="fold", max_width=_METRIC_COLUMNS)
    for heading in ("base", "candidate", "effect"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(f"{percent_text(answer.question.confidence)} interval", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for block in rows_by_cohort(answer, metrics=metrics):
        _add_block(table, block)
    return table


def _add_block(table: Table, block: CohortRows) -> None:
    heading = [
        Text(block.name, "bold"),
        Text(runs_text(block.traces), "dim"),
        Text(block.verdict_text, _VERDICT_STYLES[block.verdict]),
    ]
    # The heading runs down the first column, a line a row; what rows do not hold goes into the last cell.
    last = len(block.rows) - 1
    for index, row in enumerate(block.rows):
        lines = heading[index:] if index == last else heading[index : index + 1]
        table.add_row(Text("\n").join(lines), *_cells(row), end_section=index == last)
    if not block.rows:
        table.add_row(Text("\n").join(heading), Text("nothing recorded", "dim"), end_section=True)


def _cells(row: MetricRow) -> list[Text]:
    return [
        Text(metric_label(row)),
        Text(value_text(row.base.value, row.unit)),
        Text(value_text(row.candidate.value, row.unit)),
        Text(effect_text(row)),
        Text(interval_text(row)),
        Text(f"{STATE_SYMBOLS[row.state]} {state_text(row)}", _STATE_STYLES[row.state]),
    ]


def _side_by_side(answer: Answer, metrics: Sequence[str] | None) -> list[RenderableType]:
    sentence, lines = pairs_sentence(answer), side_by_side_lines(answer, metrics=metrics)
    if sentence is None:
        return []
    parts: list[RenderableType] = [Text("\nHeld-out answers and live traffic" if lines else "\nPairs", "bold")]
    parts.append(Text(sentence))
    if lines:
        parts += [Text(""), _side_by_side_table(lines)]
    return parts


def _side_by_side_table(lines: Sequence[SideBySideLine]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("cohort", overflow="fold", max_width=_NAME_COLUMNS)
    table.add_column("metric", overflow="fold", max_width=_METRIC_COLUMNS)
    for part in ("held-out", "live"):
        table.add_column(part, justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
    for line in lines:
        cells = [
            Text(text, style)
            for part in (line.held_out, line.live)
            for text, style in ((f"{part.effect}\n{part.interval}", ""), (part.state_text, _STATE_STYLES[part.state]))
        ]
        table.add_row(Text(line.cohort), Text(line.label), *cells)
    return table


def _listed(heading: str, lines: Iterable[str]) -> list[RenderableType]:
    items: list[RenderableType] = []
    for line in lines:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(Text("-"), Text(line, overflow="fold"))
        items.append(grid)
    return [Text(f"\n{heading}", "bold"), *items] if items else []


def _cohort_reasons(answer: Answer) -> list[str]:
    return [f"{plain(cohort.cohort)}: {plain(reason)}" for cohort in answer.cohorts for reason in cohort.reasons]


def check_warnings(answer: Answer) -> list[str]:
    """List the checks that warn, each with its reason."""
    return [
        f"{CHECK_LABELS[name]}: {plain(check.reason) if check.reason else 'no reason given'}"
        for name, check in answer.checks
        if check.state == "warning"
    ]
