"""Held-out answers beside live traffic, in words: what pairs say, and each metric in both parts of the traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracecanary.analytics.answer import CellState
from tracecanary.api.presentation.figures import effect_text, interval_text
from tracecanary.api.presentation.selection import METRICS_THAT_MATTER
from tracecanary.api.presentation.wording import OVERALL, STATE_SYMBOLS, counted, metric_label, plain, state_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tracecanary.analytics.answer import Answer, MetricRow, Part

_KEPT = (CellState.SAFE, CellState.BETTER)
_LOST = (CellState.HARM, CellState.WORSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPart:
    """A metric in one part of the traces, in words."""

    effect: str
    interval: str
    state: CellState
    state_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySideLine:
    """A metric of one cohort in both parts; `is_lost_live`: kept on held-out answers, worse in live traffic."""

    cohort: str
    label: str
    held_out: OfPart
    live: OfPart
    is_lost_live: bool


def pairs_sentence(answer: Answer) -> str | None:
    """Say how many pairs there are, and how many traces are without a partner; None without any pair."""
    paired = answer.paired
    if paired is None:
        return None
    unpaired = paired.unpaired
    alone = f"{unpaired.base:,} and {counted(unpaired.candidate, 'trace')} have no partner"
    return f"{counted(paired.pairs, 'pair')} of answers to the same request; {alone}."


def side_by_side_lines(answer: Answer, *, metrics: Sequence[str] | None = None) -> list[SideBySideLine]:
    """List the metrics that both parts have a value of, overall first; what is lost live is always among them.

    Args:
        answer: The comparison.
        metrics: Metric names to show; default: the ones that matter.
    """
    if answer.paired is None or answer.paired.held_out is None or answer.paired.live is None:
        return []
    shown = METRICS_THAT_MATTER if metrics is None else tuple(metrics)
    lines = [_line(*found) for found in _rows_of_both(answer.paired.held_out, answer.paired.live)]
    return [line for name, line in lines if name in shown or line.is_lost_live]


def _rows_of_both(held_out: Part, live: Part) -> Iterator[tuple[str | None, MetricRow, MetricRow]]:
    of_cohort = {cohort.cohort: cohort.metrics for cohort in held_out.cohorts}
    blocks: list[tuple[str | None, Sequence[MetricRow], Sequence[MetricRow]]]
    blocks = [(None, held_out.metrics, live.metrics)]
    blocks += [(cohort.cohort, of_cohort.get(cohort.cohort, []), cohort.metrics) for cohort in live.cohorts]
    for name, offline, rows in blocks:
        found = {(row.metric, row.evaluator): row for row in offline}
        for row in rows:
            other = found.get((row.metric, row.evaluator))
            if other is not None and row.effect is not None and other.effect is not None:
                yield name, other, row


def _line(cohort: str | None, held_out: MetricRow, live: MetricRow) -> tuple[str, SideBySideLine]:
    return live.metric, SideBySideLine(
        cohort=OVERALL if cohort is None else plain(cohort),
        label=metric_label(live),
        held_out=_of_part(held_out),
        live=_of_part(live),
        is_lost_live=held_out.state in _KEPT and live.state in _LOST,
    )


def _of_part(row: MetricRow) -> OfPart:
    return OfPart(
        effect=effect_text(row),
        interval=interval_text(row),
        state=row.state,
        state_text=f"{STATE_SYMBOLS[row.state]} {state_text(row)}",
    )
