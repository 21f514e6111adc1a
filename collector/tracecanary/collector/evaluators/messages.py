"""Messages out of the many shapes that providers and frameworks give them. Pure, bounded, never raises.

A document is what JSON holds: a list of messages, one message, a provider's whole answer, or just text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tracecanary.collector.evaluators.judged import Message, ToolCall

_MAX_MESSAGES = 500
_MAX_PARTS = 500
# What wraps messages: a provider's answer, a graph's state, LangChain's generations, a flattened list's own names.
_CONTAINERS = ("messages", "choices", "generations", "output", "outputs", "input", "candidates")
_WRAPPERS = (
    "message",
    "kwargs",
    "data",
    "message_content",
    "tool_call",
    "function",
    "toolUse",
    "functionCall",
    "content",
)
_TEXTS = ("text", "content", "output_text")
_PARTS = ("content", "contents", "parts")
_CALLS = ("tool_calls", "toolCalls", "function_call", "tool_call")
# Tuples: what a type is may be no text, and not hashable.
_CALL_TYPES = ("tool_call", "tool_use", "function_call", "toolUse", "tool-call")
_CALL_NAMES = ("name", "toolName", "tool_name")
_CALL_ARGUMENTS = ("arguments", "input", "args")
_TEXT_TYPES = ("text", "output_text", "input_text", "refusal", None)
_MAX_DEPTH = 6


def messages_of(document: object, *, role: str | None = None) -> tuple[Message, ...]:
    """Return the messages that `document` holds; those that name no role have `role`."""
    found: list[Message] = []
    for message in _messages(document, role, _MAX_DEPTH):
        found.append(message)
        if len(found) == _MAX_MESSAGES:
            break
    return tuple(found)


def is_answer(document: object) -> bool:
    """Tell whether `document` is a provider's answer or a framework's state, which holds messages or none."""
    while isinstance(document, list | tuple) and document:
        document = document[0]
    return isinstance(document, Mapping) and any(name in _unwrapped(document) for name in _CONTAINERS)


def nested(flat: Mapping[str, Any], prefix: str) -> list[Any]:
    """Return the list that attributes such as `<prefix>0.message.role` spell out, in the order of its numbers."""
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        if name.startswith(prefix):
            _put(tree, name[len(prefix) :].split("."), value)
    return _as_list(tree)


def _put(tree: dict[str, Any], path: list[str], value: object) -> None:
    for step in path[:-1]:
        inner = tree.setdefault(step, {})
        if not isinstance(inner, dict):
            return  # both a value and a parent: the value stays
        tree = inner
    tree.setdefault(path[-1], value)


def _as_list(tree: Mapping[str, Any]) -> list[Any]:
    numbered = sorted((int(key), value) for key, value in tree.items() if key.isdecimal() and len(key) < 10)
    return [_lists_inside(value) for _, value in numbered]


def _lists_inside(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if value and all(key.isdecimal() for key in value):
        return _as_list(value)
    return {key: _lists_inside(inner) for key, inner in value.items()}


def _messages(document: object, role: str | None, depth: int) -> Iterator[Message]:
    if isinstance(document, str):
        if document:
            yield Message(role=role, text=document)
    elif depth == 0:
        return
    elif isinstance(document, list | tuple):
        for item in document[:_MAX_MESSAGES]:
            yield from _messages(item, role, depth - 1)
    elif isinstance(document, Mapping):
        yield from _messages_of_object(document, role, depth)


def _messages_of_object(document: Mapping[str, Any], role: str | None, depth: int) -> Iterator[Message]:
    message = _unwrapped(document)
    read = _message(message, role)
    if read is not None:
        yield read
        return
    for name in _CONTAINERS:
        if isinstance(message.get(name), list | Mapping):
            yield from _messages(message[name], role, depth - 1)
            return


def _message(message: Mapping[str, Any], role: str | None) -> Message | None:
    parts = _parts(message)
    text = "\n".join(part for part in _texts(parts) if part)
    calls = tuple(_calls(message, parts))
    refusal = _refusal(message, parts)
    if not text and not calls and refusal is None and "role" not in message:
        return None
    said_role = message.get("role")
    return Message(
        role=said_role if isinstance(said_role, str) else role,
        text=text or refusal or "",
        tool_calls=calls,
        refusal=refusal,
    )


def _unwrapped(document: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(_MAX_DEPTH):
        inner = next((document[name] for name in _WRAPPERS if isinstance(document.get(name), Mapping)), None)
        if inner is None:
            return document
        document = inner
    return document


def _parts(message: Mapping[str, Any]) -> list[Any]:
    for name in _PARTS:
        parts = message.get(name)
        if isinstance(parts, str):
            return [parts]
        if isinstance(parts, list | tuple) and parts:
            return [_with_type(part) for part in parts[:_MAX_PARTS]]
    return [message["text"]] if isinstance(message.get("text"), str) else []


def _with_type(part: object) -> object:
    """Unwrap a part, keeping what its wrapper said it is."""
    if not isinstance(part, Mapping):
        return part
    wrapper = next((name for name in _WRAPPERS if isinstance(part.get(name), Mapping)), None)
    if wrapper is None:
        return part
    inner = part[wrapper]
    return inner if "type" in inner or wrapper not in ("toolUse", "functionCall") else {"type": "tool_use", **inner}


def _texts(parts: Iterable[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping) and part.get("type") in _TEXT_TYPES:
            text = next((part[name] for name in _TEXTS if isinstance(part.get(name), str)), None)
            if text is not None:
                yield text


def _calls(message: Mapping[str, Any], parts: Iterable[object]) -> Iterator[ToolCall]:
    given: list[object] = [part for part in parts if isinstance(part, Mapping) and part.get("type") in _CALL_TYPES]
    if message.get("type") in _CALL_TYPES:
        given.append(message)
    for name in _CALLS:
        calls = message.get(name)
        given += calls[:_MAX_PARTS] if isinstance(calls, list | tuple) else [calls]
    seen = []
    for call in given:
        if not isinstance(call, Mapping):
            continue
        read = _call(_unwrapped(call))
        if read is not None and read not in seen:  # LangChain gives each call twice
            seen.append(read)
            yield read


def _call(call: Mapping[str, Any]) -> ToolCall | None:
    name = next((call[key] for key in _CALL_NAMES if isinstance(call.get(key), str) and call[key]), None)
    arguments = next((call[key] for key in _CALL_ARGUMENTS if call.get(key) is not None), None)
    return None if name is None else ToolCall(name=name, arguments=arguments)


def _refusal(message: Mapping[str, Any], parts: Iterable[object]) -> str | None:
    said = [message, *(part for part in parts if isinstance(part, Mapping))]
    return next((one["refusal"] for one in said if isinstance(one.get("refusal"), str) and one["refusal"]), None)
