"""The answer as one self-contained page for a browser: no script, nothing fetched."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from tracecanary.analytics.answer import CellState
from tracecanary.api.presentation.figures import MISSING, effect_text, interval_text, margin_text, value_text
from tracecanary.api.presentation.forest import Mark, Tick, axis_unit, mark_of, scale_of, ticks_of
from tracecanary.api.presentation.selection import METRICS_THAT_MATTER, CohortRows, rows_by_cohort
from tracecanary.api.presentation.sentences import summary
from tracecanary.api.presentation.side_by_side import pairs_sentence, side_by_side_lines
from tracecanary.api.presentation.wording import (
    CHECK_LABELS,
    STATE_LEGEND,
    STATE_SYMBOLS,
    is_guardrail,
    metric_label,
    metric_meaning,
    no_difference_of,
    percent_text,
    plain,
    runs_text,
    state_text,
    verdict_word,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from tracecanary.analytics.answer import Answer, Check, MetricRow, QuestionEcho


@dataclass(frozen=True, slots=True, kw_only=True)
class CellView:
    """One metric of one cohort in words, and its line in the plot (None: nothing to draw)."""

    cohort: str
    label: str
    base: str
    base_n: str
    candidate: str
    candidate_n: str
    effect: str
    interval: str
    state: CellState
    state_text: str
    symbol: str
    reason: str | None
    mark: Mark | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotView:
    """One metric's forest plot; places are in percent of the width and None when nothing can be drawn."""

    label: str
    meaning: str
    margin: str
    is_guardrail: bool
    zero_place: float | None
    margin_place: float | None
    ticks: list[Tick]
    axis_unit: str
    lines: list[CellView]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """One check in words."""

    label: str
    state: str
    reason: str
    figures: list[str]


def report_page(answer: Answer, *, json_url: str, metrics: Sequence[str] | None = None) -> str:
    """Write the page.

    Args:
        answer: The comparison.
        metrics: Metric names to show; default: all.
        json_url: Relative link to the same answer as JSON, such as `compare?base=a&candidate=b`.

    Raises:
        ValueError: `json_url` leads to another host or is not a link.
    """
    link = urlsplit(json_url)
    if link.scheme or link.netloc:
        raise ValueError(f"json_url {json_url!r} is not relative. Pass the path and query of /compare only.")
    blocks = rows_by_cohort(answer, metrics=metrics or _metric_order(answer))
    return _template().render(
        title=f"{verdict_word(answer.overall.verdict)}: {plain(answer.question.candidate)}",
        verdict=answer.overall.verdict.value,
        verdict_word=verdict_word(answer.overall.verdict),
        summary=summary(answer),
        question=_question(answer.question),
        confidence=percent_text(answer.question.confidence),
        plots=_plots(blocks),
        blocks=[_block(block) for block in blocks],
        reasons=[plain(reason) for reason in answer.overall.reasons],
        pairs=pairs_sentence(answer),
        side_by_side=side_by_side_lines(answer, metrics=metrics),
        routes=_routes(answer),
        checks=[_check(CHECK_LABELS[name], check) for name, check in answer.checks],
        examples=_examples(answer),
        legend=[entry.split(": ", 1) for entry in STATE_LEGEND],
        spec_hash=plain(answer.question.spec_hash),
        json_url=json_url,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("tracecanary.api.presentation"),
        autoescape=True,  # the default decides by file extension, and `.j2` is not among those it escapes
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def _metric_order(answer: Answer) -> list[str]:
    names = dict.fromkeys(row.metric for row in answer.overall.metrics)
    names |= dict.fromkeys(row.metric for cohort in answer.cohorts for row in cohort.metrics)
    return [*METRICS_THAT_MATTER, *(name for name in names if name not in METRICS_THAT_MATTER)]


def _question(question: QuestionEcho) -> list[tuple[str, str]]:
    return [
        ("Base", plain(question.base)),
        ("Candidate", plain(question.candidate)),
        ("Arms by", plain(question.arm_by)),
        ("Cohorts by", plain(question.cohort_by)),
        ("Window", f"{_time(question.from_time, 'first trace kept')} to {_time(question.to_time, 'now')}"),
        ("Intervals", f"{percent_text(question.confidence)}, {question.mode}"),
    ]


def _time(time: datetime | None, otherwise: str) -> str:
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or 'UTC'}" if time else otherwise


def _plots(blocks: Sequence[CohortRows]) -> list[PlotView]:
    lines: dict[tuple[str, str | None], list[tuple[str, MetricRow]]] = {}
    for block in blocks:
        for row in block.rows:
            lines.setdefault((row.metric, row.evaluator), []).append((block.name, row))
    return [_plot(named_rows) for named_rows in lines.values()]


def _plot(named_rows: Sequence[tuple[str, MetricRow]]) -> PlotView:
    rows = [row for _, row in named_rows]
    first, scale = rows[0], scale_of(rows)
    return PlotView(
        label=metric_label(first),
        meaning=metric_meaning(first),
        margin=margin_text(first.model_copy(update={"effect": None, "ci_low": None, "ci_high": None})),
        is_guardrail=is_guardrail(first),
        zero_place=scale.position(no_difference_of(first)) if scale else None,
        margin_place=scale.position(first.margin) if scale and first.margin is not None else None,
        ticks=ticks_of(rows, scale) if scale else [],
        axis_unit=axis_unit(rows, scale) if scale else "",
        lines=[_cell(name, row, mark_of(row, scale) if scale else None) for name, row in named_rows],
    )


def _cell(cohort: str, row: MetricRow, mark: Mark | None) -> CellView:
    return CellView(
        cohort=cohort,
        label=metric_label(row),
        base=value_text(row.base.value, row.unit),
        base_n=f"{row.base.n:,}",
        candidate=value_text(row.candidate.value, row.unit),
        candidate_n=f"{row.candidate.n:,}",
        effect=effect_text(row),
        interval=interval_text(row),
        state=row.state,
        state_text=state_text(row),
        symbol=STATE_SYMBOLS[row.state],
        reason=plain(row.reason) if row.reason else None,
        mark=mark,
    )


def _block(block: CohortRows) -> dict[str, object]:
    return {
        "name": block.name,
        "is_overall": block.is_overall,
        "verdict": block.verdict.value,
        "verdict_text": block.verdict_text,
        "runs": runs_text(block.traces),
        "share": percent_text(round(block.weight, 3)),
        "reasons": [plain(reason) for reason in block.reasons],
        "cells": [_cell(block.name, row, None) for row in block.rows],
    }


def _routes(answer: Answer) -> list[tuple[str, list[str]]]:
    routing = answer.routing
    return [
        ("To the candidate", [plain(name) for name in routing.candidate]),
        ("Stay on the base", [plain(name) for name in routing.base]),
        ("Not verified yet", [plain(name) for name in routing.unverified]),
    ]


def _check(label: str, check: Check) -> CheckView:
    figures = [f"{plain(name.replace('_', ' '))}: {_figure_text(value)}" for name, value in check.figures.items()]
    return CheckView(
        label=label, state=check.state, reason=plain(check.reason) if check.reason else "", figures=figures
    )


def _figure_text(value: float | str | list[str] | None) -> str:
    if value is None:
        return MISSING
    if isinstance(value, list):
        return ", ".join(map(plain, value)) or "none"
    if isinstance(value, str):
        return plain(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _examples(answer: Answer) -> list[tuple[str, list[str], list[str]]]:
    return [
        (plain(cohort.cohort), [plain(i) for i in cohort.examples.base], [plain(i) for i in cohort.examples.candidate])
        for cohort in answer.cohorts
        if cohort.examples.base or cohort.examples.candidate
    ]
