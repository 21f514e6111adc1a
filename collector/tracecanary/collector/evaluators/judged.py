"""What an evaluator is given, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from tracecanary.collector.evaluations import Source

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call of a tool that a model asked for, or that a tool's span is of; `arguments` as they were recorded."""

    name: str
    arguments: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. `refusal` is what the provider marks as one."""

    role: str | None = None
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSpan:
    """A finished span with its content, as far as the instrumentation recorded any: else texts are None.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        name: Name of the span.
        kind: llm, agent, tool and so on, as in the lake.
        model: Canonical model.
        agent: Agent that the span belongs to; that of the nearest ancestor in this process if it names none.
        tool: Tool called, of a tool's span.
        finish_reason: Normalised: stop, length, tool_calls, content_filter, ...
        input_messages: What was asked, oldest first.
        output_messages: What was answered.
        tool_calls: Calls that the answer asks for; of a tool's span, its call.
        attributes: Everything the span holds, read-only.
        is_error: Whether the span failed.
    """

    trace_id: str
    span_id: str
    name: str = ""
    kind: str = "llm"
    model: str | None = None
    agent: str | None = None
    tool: str | None = None
    finish_reason: str | None = None
    input_messages: tuple[Message, ...] = ()
    output_messages: tuple[Message, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    is_error: bool = False

    @property
    def input_text(self) -> str | None:
        """The texts of what was asked, joined with line breaks; None when there is none."""
        return _joined(self.input_messages)

    @property
    def output_text(self) -> str | None:
        """The texts of what was answered, joined with line breaks; None when there is none."""
        return _joined(self.output_messages)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """An evaluator's answer; what is None is not said.

    Attributes:
        passed: Verdict.
        score: In the evaluator's own scale.
        label: A word or two; stored, so nothing of the content belongs here.
        explanation: Why. Stored only with `keep_explanations`, as it may quote the content.
        name: Name of the evaluation, if it is another than the evaluator's.
        version: Version, likewise.
        source: Who judged, likewise.
    """

    passed: bool | None = None
    score: float | None = None
    label: str | None = None
    explanation: str | None = None
    name: str | None = None
    version: str | None = None
    source: Source | None = None


# Whether it passed, its score, its label, all of them, several, or None: nothing to judge.
Verdict: TypeAlias = bool | float | str | EvaluationResult | Sequence[EvaluationResult] | None
Judge: TypeAlias = Callable[[JudgedSpan], Verdict]


def _joined(messages: Sequence[Message]) -> str | None:
    return "\n".join(message.text for message in messages if message.text) or None
