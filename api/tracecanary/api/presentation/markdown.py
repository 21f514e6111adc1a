"""The answer as GitHub-flavoured Markdown, for a pull request's comment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tracecanary.api.presentation.figures import effect_text, interval_text, value_text
from tracecanary.api.presentation.selection import labels_left_out, rows_by_cohort
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

    from tracecanary.analytics.answer import Answer, MetricRow
    from tracecanary.api.presentation.selection import CohortRows

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$!])")
_BLOCK_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=]))")


def answer_markdown(answer: Answer, *, metrics: Sequence[str] | None = None) -> str:
    """Write the answer as Markdown: verdict, summary, table, reasons, checks that warn, routing.

    Args:
        answer: The comparison.
        metrics: Metric names to show; default: the ones that matter.
    """
    question = answer.question
    blocks = rows_by_cohort(answer, metrics=metrics)
    parts = [
        f"### tracecanary: {verdict_word(answer.overall.verdict)}",
        escaped(summary(answer)),
        f"Base **{escaped(question.base)}**, candidate **{escaped(question.candidate)}**.",
        _table(blocks, confidence=question.confidence),
    ]
    left_out = labels_left_out(answer, blocks)
    if left_out:
        parts.append(f"Recorded but not shown: {', '.join(map(escaped, left_out))}.")
    reasons = [escaped(reason) for reason in answer.overall.reasons]
    for cohort in answer.cohorts:
        reasons += [f"**{escaped(cohort.cohort)}**: {escaped(reason)}" for reason in cohort.reasons]
    parts += _section("Reasons", reasons)
    parts += _side_by_side(answer, metrics)
    parts += _section("Checks", _checks(answer))
    parts += _section("Routing", _routing(answer))
    parts.append(f"Settings {escaped(question.spec_hash)}.")
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    r"""Escape text from outside: `a|b` becomes `a\|b`, and `@team` notifies nobody.

    GitHub looks for mentions after it has undone backslashes and entities; an empty comment parts the sign from the
    name for good.
    """
    return _BLOCK_START.sub(r"\1\\", _inline(text))


def _inline(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", plain(text)).replace("@", "@<!-- -->")


def _table(blocks: Sequence[CohortRows], *, confidence: float) -> str:
    lines = [
        f"| cohort | metric | base | candidate | effect | {percent_text(confidence)} interval | state |",
        "|:--|:--|--:|--:|--:|--:|:--|",
    ]
    for block in blocks:
        heading = f"**{escaped(block.name)}** ({runs_text(block.traces)}): {block.verdict_text}"
        if not block.rows:
            lines.append(f"| {heading} | nothing recorded | | | | | |")
        for index, row in enumerate(block.rows):
            lines.append(f"| {heading if index == 0 else ''} | {' | '.join(_cells(row))} |")
    return "\n".join(lines)


def _cells(row: MetricRow) -> list[str]:
    return [
        _inline(metric_label(row)),
        _inline(value_text(row.base.value, row.unit)),
        _inline(value_text(row.candidate.value, row.unit)),
        _inline(effect_text(row)),
        _inline(interval_text(row)),
        f"{STATE_SYMBOLS[row.state]} {state_text(row)}",
    ]


def _side_by_side(answer: Answer, metrics: Sequence[str] | None) -> list[str]:
    sentence = pairs_sentence(answer)
    if sentence is None:
        return []
    lines = side_by_side_lines(answer, metrics=metrics)
    if not lines:
        return ["#### Pairs", escaped(sentence)]
    table = [
        "| cohort | metric | held-out | interval | state | live | interval | state |",
        "|:--|:--|--:|--:|:--|--:|--:|:--|",
    ]
    for line in lines:
        parts = [(part.effect, part.interval, part.state_text) for part in (line.held_out, line.live)]
        cells = [line.cohort, line.label, *(text for part in parts for text in part)]
        table.append(f"| {' | '.join(map(_inline, cells))} |")
    return ["#### Held-out answers and live traffic", escaped(sentence), "\n".join(table)]


def _checks(answer: Answer) -> list[str]:
    lines = [
        f"**Warning, {CHECK_LABELS[name]}**: {escaped(check.reason) if check.reason else 'no reason given'}"
        for name, check in answer.checks
        if check.state == "warning"
    ]
    for state in ("unknown", "ok"):
        names = [CHECK_LABELS[name] for name, check in answer.checks if check.state == state]
        if names:
            lines.append(f"{state}: {', '.join(names)}")
    return lines


def _routing(answer: Answer) -> list[str]:
    routes = (
        ("Candidate", answer.routing.candidate),
        ("Base", answer.routing.base),
        ("Not verified yet", answer.routing.unverified),
    )
    return [f"{label}: {', '.join(map(escaped, cohorts))}" for label, cohorts in routes if cohorts]


def _section(heading: str, lines: Iterable[str]) -> list[str]:
    items = "\n".join(f"- {line}" for line in lines)
    return [f"#### {heading}", items] if items else []
