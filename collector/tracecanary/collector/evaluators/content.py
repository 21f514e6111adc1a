"""Where the content of a span is: tables of attributes and events, most telling first. Pure.

To read another library's content, add its names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from tracecanary.collector.attributes import TOOL_CALL_ARGUMENTS
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.conventions.context import TOOL_ARGUMENTS
from tracecanary.collector.evaluators.judged import JudgedSpan, Message, ToolCall
from tracecanary.collector.evaluators.messages import is_answer, messages_of, nested
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.plans import COLUMN_INDEX

# Flattened lists of messages: what stands before the number.
_INPUT_LISTS: Final = ("llm.input_messages.", "gen_ai.input.messages.", "gen_ai.prompt.")
_OUTPUT_LISTS: Final = ("llm.output_messages.", "gen_ai.output.messages.", "gen_ai.completion.")
# Documents of messages, or text.
_INPUT_DOCUMENTS: Final = (
    "gen_ai.input.messages",
    "ai.prompt.messages",
    "ai.prompt",
    "gen_ai.prompt",
    "langfuse.observation.input",
    "mlflow.spanInputs",
    "llm.openai.messages",
    "input.value",
    "traceloop.entity.input",
)
_OUTPUT_DOCUMENTS: Final = (
    "gen_ai.output.messages",
    "gen_ai.completion",
    "langfuse.observation.output",
    "mlflow.spanOutputs",
    "llm.openai.choices",
    "output.value",
    "traceloop.entity.output",
)
# Not messages, even if their JSON looks like it: structured output, a tool's result.
_OUTPUT_TEXTS: Final = (
    "ai.response.object",
    "gen_ai.tool.call.result",
    "ai.toolCall.result",
    "ai.toolCall.output",
)
# The AI SDK keeps text and calls of one answer apart.
_AI_TEXT: Final = "ai.response.text"
_AI_CALLS: Final = "ai.response.toolCalls"
# Events whose attributes hold a message: by name, its role and the attribute.
_INPUT_EVENTS: Final[Mapping[str, tuple[str, str]]] = {
    "gen_ai.system.message": ("system", "content"),
    "gen_ai.user.message": ("user", "content"),
    "gen_ai.assistant.message": ("assistant", "content"),
    "gen_ai.tool.message": ("tool", "content"),
}
_OUTPUT_EVENTS: Final[Mapping[str, tuple[str, str]]] = {"gen_ai.choice": ("assistant", "message")}
_DETAILS_EVENT: Final = "gen_ai.client.inference.operation.details"
_TOOL_ARGUMENTS: Final = (TOOL_CALL_ARGUMENTS, "ai.toolCall.args", "ai.toolCall.input", *TOOL_ARGUMENTS)
_TOOL_EVENT: Final = "gen_ai.tool.message"
_ERROR = 2
_MAX_EVENTS = 1_024


def judged_span(span: CapturedSpan, normaliser: Normaliser, *, agent: str | None = None) -> JudgedSpan:
    """Return `span` with its content, as an evaluator gets it.

    Args:
        span: What was captured.
        normaliser: The conventions, with an installation's rules.
        agent: Agent of the nearest ancestor, for a span that names none.
    """
    row = normaliser.row(span)
    told = {name: row[COLUMN_INDEX[name]] for name in ("kind", "model", "agent_name", "tool_name", "finish_reason")}
    output = _output(span)
    calls = tuple(call for message in output for call in message.tool_calls)
    if told["kind"] == "tool" and told["tool_name"]:
        calls = (ToolCall(name=told["tool_name"], arguments=_tool_arguments(span)),)
    return JudgedSpan(
        trace_id=span.trace_id.to_bytes(16).hex(),
        span_id=span.span_id.to_bytes(8).hex(),
        name=span.name,
        kind=told["kind"],
        model=told["model"],
        agent=told["agent_name"] or agent,
        tool=told["tool_name"],
        finish_reason=told["finish_reason"],
        input_messages=_input(span),
        output_messages=output,
        tool_calls=calls,
        attributes=MappingProxyType(dict(span.attributes)),
        is_error=span.status_code == _ERROR,
    )


def _input(span: CapturedSpan) -> tuple[Message, ...]:
    return _first_messages(
        (
            _lists(span.attributes, _INPUT_LISTS),
            _documents(span.attributes, _INPUT_DOCUMENTS, "user"),
            _events(span, _INPUT_EVENTS, "gen_ai.input.messages"),
        )
    )


def _output(span: CapturedSpan) -> tuple[Message, ...]:
    return _first_messages(
        (
            _lists(span.attributes, _OUTPUT_LISTS),
            _texts(span.attributes, _OUTPUT_TEXTS),
            _ai_sdk(span.attributes),
            _documents(span.attributes, _OUTPUT_DOCUMENTS, "assistant"),
            _events(span, _OUTPUT_EVENTS, "gen_ai.output.messages"),
        )
    )


def _first_messages(ways: Iterable[Iterator[tuple[Message, ...]]]) -> tuple[Message, ...]:
    """Return the first messages that say anything: several attributes often repeat one content."""
    for way in ways:
        for messages in way:
            if any(message.text or message.tool_calls for message in messages):
                return messages
    return ()


def _lists(attributes: Mapping[str, Any], prefixes: tuple[str, ...]) -> Iterator[tuple[Message, ...]]:
    for prefix in prefixes:
        if any(name.startswith(prefix) for name in attributes):
            yield messages_of(nested(attributes, prefix))


def _texts(attributes: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[Message, ...]]:
    for name in names:
        value = attributes.get(name)
        if isinstance(value, str):
            yield (Message(text=value),)


def _ai_sdk(attributes: Mapping[str, Any]) -> Iterator[tuple[Message, ...]]:
    if _AI_TEXT in attributes or _AI_CALLS in attributes:
        calls = _parsed(attributes.get(_AI_CALLS))
        yield messages_of({"role": "assistant", "content": attributes.get(_AI_TEXT), "toolCalls": calls})


def _documents(attributes: Mapping[str, Any], names: tuple[str, ...], role: str) -> Iterator[tuple[Message, ...]]:
    for name in names:
        value = attributes.get(name)
        if value is not None:
            yield _messages(value, role)


def _events(span: CapturedSpan, wanted: Mapping[str, tuple[str, str]], details: str) -> Iterator[tuple[Message, ...]]:
    messages: list[Message] = []
    for event in span.events[:_MAX_EVENTS]:
        if event[0] == _DETAILS_EVENT and details in event[1]:
            yield _messages(event[1][details], None)
        elif event[0] in wanted:
            role, attribute = wanted[event[0]]
            value = event[1].get(attribute, event[1].get("content"))
            messages += messages_of({"role": role, "content": _parsed(value)})
    yield tuple(messages)


def _messages(value: object, role: str | None) -> tuple[Message, ...]:
    document = _parsed(value)
    messages = messages_of(document, role=role)
    if messages or not isinstance(value, str) or is_answer(document):
        return messages
    return messages_of(value, role=role)  # JSON that is no message is the answer itself: structured output


def _parsed(value: object) -> object:
    """Return the JSON that a text holds, else the text."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "[", '"'):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _tool_arguments(span: CapturedSpan) -> object:
    arguments = _first(span.attributes, _TOOL_ARGUMENTS)
    if arguments is not None:
        return arguments
    return next((event[1].get("content") for event in span.events[:_MAX_EVENTS] if event[0] == _TOOL_EVENT), None)


def _first(attributes: Mapping[str, Any], names: tuple[str, ...]) -> object:
    return next((attributes[name] for name in names if attributes.get(name) is not None), None)
