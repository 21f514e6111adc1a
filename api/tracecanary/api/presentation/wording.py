"""What people read instead of codes: names made safe to show, metrics, states, verdicts, checks."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from tracecanary.analytics.answer import CellState, Verdict
from tracecanary.analytics.metrics import METRICS_BY_NAME
from tracecanary.api.presentation.figures import interval_text, is_written_as_factor, margin_text, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracecanary.analytics.answer import Answer, ArmCounts, MetricRow

OVERALL = "overall"
# These reorder the text around them, so that a name can pretend to be another one.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_METRIC_LABELS = {
    "latency_p50": "latency p50",
    "latency_p95": "latency p95",
    "latency_p99": "latency p99",
    "steps_per_trace": "steps per trace",
}
_METRIC_PHRASES = {
    "latency_p50": "median latency",
    "latency_p95": "p95 latency",
    "latency_p99": "p99 latency",
    "cost_per_trace": "the cost per trace",
    "input_tokens": "the mean number of input tokens",
    "output_tokens": "the mean number of output tokens",
    "steps_per_trace": "the mean number of steps",
}
_STATE_WORDS = {
    CellState.SAFE: "safe",
    CellState.BETTER: "better",
    CellState.HARM: "harmful",
    CellState.WORSE: "worse",
    CellState.UNSURE: "unsure",
}
STATE_SYMBOLS = {
    CellState.SAFE: "✓",
    CellState.BETTER: "▼",
    CellState.HARM: "✗",
    CellState.WORSE: "▲",
    CellState.UNSURE: "?",
    CellState.NO_DATA: "·",
}
STATE_LEGEND = (
    "better: surely below no difference",
    "safe: surely within the margin",
    "worse: surely above no difference, perhaps within the margin",
    "harmful: surely beyond the margin",
    "unsure: the interval still allows both",
    "too few: not enough traces to judge",
)
_VERDICT_WORDS = {
    Verdict.SHIP: "Ship",
    Verdict.NARROW: "Narrow the route",
    Verdict.HOLD: "Hold",
    Verdict.ROLL_BACK: "Roll back",
}
_COHORT_VERDICT_WORDS = {
    Verdict.SHIP: "may ship",
    Verdict.NARROW: "may ship in part",
    Verdict.HOLD: "hold",
    Verdict.ROLL_BACK: "keep on base",
}
CHECK_LABELS = {
    "sample_ratio": "traffic split",
    "mix_shift": "cohort mix",
    "simpson": "Simpson's paradox",
    "contamination": "contamination",
    "coverage": "coverage",
    "losses": "lost spans",
    "sampling": "sampling",
    "confounders": "other changes",
    "costs": "costs",
    "time": "change over time",
    "clusters": "repeating users",
    "plan": "the plan",
    "retention": "retention",
}


def plain(text: str) -> str:
    """Make a name or reason from outside safe on one line: no control or text-reordering characters."""
    shown = "".join(
        " " if character in "\t\n\r" else "\N{REPLACEMENT CHARACTER}" if _is_hidden(character) else character
        for character in text
    )
    return " ".join(shown.split()) or "(no name)"


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in _BIDI_CONTROLS


def name_list(names: Sequence[str], *, limit: int = 3) -> str:
    """Join names as prose: `a`, `a and b`, `a, b and 4 more`."""
    shown = [plain(name) for name in names]
    if len(shown) > limit:
        shown = [*shown[: limit - 1], f"{len(shown) - limit + 1:,} more"]
    return shown[0] if len(shown) == 1 else " and ".join([", ".join(shown[:-1]), *shown[-1:]]) if shown else ""


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """Write a count with its noun: `1 trace`, `1,200 traces`."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def percent_text(fraction: float) -> str:
    """Write a share or a confidence such as 0.95 as `95 %`."""
    return f"{fraction * 100:.4g} %"


def runs_text(traces: ArmCounts) -> str:
    """Write how many traces stand behind each arm: base, then candidate."""
    return f"{traces.base:,} / {traces.candidate:,} runs"


def metric_label(row: MetricRow) -> str:
    """Name the metric as a table does."""
    if row.metric == "eval_fail_rate":
        return f"{plain(row.evaluator)} fails" if row.evaluator else "evaluation fails"
    label = _METRIC_LABELS.get(row.metric) or plain(row.metric.replace("_", " "))
    return f"{label} ({plain(row.evaluator)})" if row.evaluator else label


def metric_phrase(row: MetricRow) -> str:
    """Name the metric as a sentence does."""
    if row.metric == "eval_fail_rate":
        return f"the fail rate of {plain(row.evaluator)}" if row.evaluator else "the evaluation fail rate"
    return _METRIC_PHRASES.get(row.metric) or f"the {metric_label(row)}"


def metric_meaning(row: MetricRow) -> str:
    """Explain the metric in a line; empty for one that the catalogue does not know."""
    known = METRICS_BY_NAME.get(row.metric)
    return known.meaning if known else ""


def is_guardrail(row: MetricRow) -> bool:
    """Whether the metric may block a release, by its policy."""
    return row.role == "guardrail"


def is_required(row: MetricRow) -> bool:
    """Whether nothing ships without the metric."""
    return row.is_required


def has_value(row: MetricRow) -> bool:
    """Whether at least one arm recorded the metric."""
    return row.base.value is not None or row.candidate.value is not None


def state_text(row: MetricRow) -> str:
    """Write the state in a word or two; `no_data` tells few traces from none."""
    if row.state is CellState.NO_DATA:
        return "no data" if row.base.value is None or row.candidate.value is None else "too few"
    return _STATE_WORDS[row.state]


def verdict_word(verdict: Verdict) -> str:
    """Write the verdict on the candidate as a headline does."""
    return _VERDICT_WORDS[verdict]


def cohort_verdict_word(verdict: Verdict) -> str:
    """Write the verdict on one cohort."""
    return _COHORT_VERDICT_WORDS[verdict]


def cohorts_kept_on_base(answer: Answer) -> list[str]:
    """List the cohorts that should stay on the base."""
    return answer.routing.base or [cohort.cohort for cohort in answer.cohorts if cohort.verdict is Verdict.ROLL_BACK]


def verdict_clause(answer: Answer) -> str:
    """Say what to do with the candidate, without a full stop; a filtered question says for whom it speaks."""
    only = filter_text(answer)
    return f"{_verdict_clause(answer)} ({only} only)" if only else _verdict_clause(answer)


def filter_text(answer: Answer) -> str:
    """Name the filters of the question; empty without any."""
    question = answer.question
    named = (("cohort", question.cohort), ("route", question.route), ("evaluator", question.evaluator))
    return "; ".join(f"{label} {name_list(values)}" for label, values in named if values)


def _verdict_clause(answer: Answer) -> str:
    base, candidate = plain(answer.question.base), plain(answer.question.candidate)
    if answer.overall.verdict is Verdict.SHIP:
        return f"Ship {candidate} in place of {base}"
    if answer.overall.verdict is Verdict.ROLL_BACK:
        return f"Roll back {candidate} and stay on {base}"
    if answer.overall.verdict is Verdict.HOLD:
        return f"Hold {candidate} and keep {base} for now"
    kept = cohorts_kept_on_base(answer)
    if not answer.routing.candidate:
        return f"Narrow {candidate} and keep {base} in {name_list(kept) if kept else 'the cohorts below'}"
    return f"Ship {candidate} in place of {base} except in {name_list(kept) if kept else 'the cohorts below'}"


def finding_text(row: MetricRow, *, confidence: float) -> str:
    """Write one measured effect as a clause with its interval."""
    interval = f"({percent_text(confidence)} interval {interval_text(row)})"
    return f"{change_text(row)} {interval}{_bearing_text(row)}"


def change_text(row: MetricRow) -> str:
    """Write one measured effect as a clause, without its interval."""
    return f"{metric_phrase(row)} is {_change_text(row)}"


def _change_text(row: MetricRow) -> str:
    effect, no_difference = row.effect or 0.0, no_difference_of(row)
    if not any(digit in size_text(row) for digit in "123456789"):
        return (
            "practically unchanged"
            if row.state in (CellState.SAFE, CellState.BETTER)
            else "the same in both arms so far"
        )
    if is_written_as_factor(row):
        return f"{effect:,.2f} times the base's"
    return f"{size_text(row)} {'higher' if effect > no_difference else 'lower'}"


def _bearing_text(row: MetricRow) -> str:
    if row.margin is None:
        return ""
    if row.state is CellState.HARM:
        return f", beyond its margin of {margin_text(row)}"
    if row.state is CellState.SAFE:
        return f", within its margin of {margin_text(row)}"
    if row.state is CellState.WORSE:
        return f", perhaps still within its margin of {margin_text(row)}"
    return ""


def no_difference_of(row: MetricRow) -> float:
    """Give the effect that means "no difference": 0 for a difference, 1 for a ratio."""
    return 1.0 if row.effect_kind == "ratio" else 0.0
