"""Attribute values as instrumentations really send them, turned into column values.

Numbers arrive as strings, costs as floats, lists as JSON text. What can't be read becomes None: a value is missing,
the span is not lost.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

from tracecanary.collector.documents import MAX_JSON_LENGTH, parse_document
from tracecanary.schema import SPAN_COLUMNS, ColumnType

_MAX_INT64 = 2**63 - 1
_NANO = 1_000_000_000
# Tokens or resends of one span: more are a mistake of whoever sent them. Hundreds of thousands of such spans add up
# within 64 bits; what answers take powers of, the tokens of a trace, ends far below (see trace_facts).
MAX_COUNT = 10_000_000_000_000
# 10,000 USD. A span that seems to cost more has its cost in another unit.
MAX_COST_NANO_USD = 10_000_000_000_000
# 115 days. A span that seems to take longer has lost its start, or its clock was set.
MAX_DURATION_NS = 10_000_000_000_000_000
_MAX_TAGS = 64
_STEP_TAG = re.compile(r"(?:graph|seq):step:([0-9]{1,9})")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
# Longer strings in the remaining attributes are more likely content than facts.
MAX_TEXT_LENGTH = 512
# Identifiers, enumerations, versions, short lists of them.
MAX_WORD_LENGTH = 128
# Longer names and ids are cut: they are a mistake, and would be stored with every span.
MAX_NAME_LENGTH = 1_024
# What Logfire writes in place of a value that may be a secret.
_SCRUBBED = "[Scrubbed due to"
# Not who answers, but what the application is built with.
_FRAMEWORKS = frozenset(
    {
        "autogen",
        "crewai",
        "gcp.vertex.agent",
        "langchain",
        "langgraph",
        "llamaindex",
        "microsoft.agent_framework",
        "strands-agents",
    }
)
_NORMAL_FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter"})
_FINISH_REASONS: Mapping[str, str] = {"tool_call": "tool_calls", "tool_use": "tool_calls", "end_turn": "stop"}


def to_text(value: object) -> str | None:
    """Return `value` as text: a scalar as it is, a list or mapping as JSON; None when empty."""
    if isinstance(value, str):
        return storable_text(value) or None
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    try:
        return (
            str(value)
            if isinstance(value, int | float)
            else json.dumps(value, default=_unknown_to_text, separators=(",", ":"))
        )
    except (ValueError, TypeError, RecursionError):  # an integer of 4,300 digits, a key that is a tuple, a deep nesting
        return None


def to_name(value: object) -> str | None:
    """Return `value` as the text of a column; None when it is empty, scrubbed, or a list too long to be a name."""
    if type(value) is not str:
        text = None if isinstance(value, Sized) and len(value) > MAX_TEXT_LENGTH else to_text(value)
    else:
        text = value if value.isascii() else storable_text(value)
    if not text or (text[0] == "[" and text.startswith(_SCRUBBED)):
        return None
    return text if len(text) <= MAX_NAME_LENGTH else text[:MAX_NAME_LENGTH]


def to_provider(value: object) -> str | None:
    """Return who answers the call; None for the name of a framework."""
    name = to_name(value)
    return None if name in _FRAMEWORKS else name


def to_provider_before_dot(value: object) -> str | None:
    """Return the provider of a name such as "openai.chat"."""
    name = to_provider(value)
    return None if name is None else name.partition(".")[0] or None


def storable_text(text: str) -> str:
    r"""Return `text` with lone surrogates, which no UTF-8 can hold, written as `\udc80`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _unknown_to_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def to_int(value: object) -> int | None:
    """Return `value` as a 64-bit integer, also from text such as "12" or 12.0; None when it is none."""
    if type(value) is int and -_MAX_INT64 <= value <= _MAX_INT64:
        return value
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)  # a float would round what lies beyond 2**53
    number = value if isinstance(value, int) else to_float(value)
    if number is None or number != int(number) or abs(number) > _MAX_INT64:
        return None
    return int(number)


def to_float(value: object) -> float | None:
    """Return `value` as a finite float, also from text; None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def to_bool(value: object) -> bool | None:
    """Return `value` as a boolean, also from "true", "1", "false" and "0"; None when it is none."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return bool(value) if value in (0, 1) else None
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if text in {"true", "1", "yes"}:
        return True
    if text in {"false", "0", "no"}:
        return False
    return None


def to_count(value: object) -> int | None:
    """Return a count, of tokens or resends; one that is negative or above `MAX_COUNT` is not a count."""
    if type(value) is int and 0 <= value <= MAX_COUNT:
        return value
    count = to_int(value)
    return count if count is not None and 0 <= count <= MAX_COUNT else None


def to_duration_ns(start_ns: int, end_ns: int) -> int:
    """Return end minus start; 0, as for a span without an end, when that can't be a duration."""
    # A clock that was set back must not give a negative latency.
    duration_ns = end_ns - start_ns
    return duration_ns if 0 < duration_ns <= MAX_DURATION_NS else 0


def usd_to_nano(value: object) -> int | None:
    """Return an amount in USD as integer nano-USD; a negative one, or one above `MAX_COST_NANO_USD`, is not a cost."""
    return _scaled_to_nano(value, most=MAX_COST_NANO_USD)


def seconds_to_ns(value: object) -> int | None:
    """Return a duration in seconds as integer ns; a negative one, or one too long to be one, is none."""
    return _scaled_to_nano(value, most=MAX_DURATION_NS)


def known_usd_to_nano(value: object) -> int | None:
    """Return an amount in USD as integer nano-USD; None for 0, which some libraries report of a model without price."""
    return usd_to_nano(value) or None


def milliseconds_to_ns(value: object) -> int | None:
    """Return a duration in milliseconds as integer ns, as `seconds_to_ns`."""
    amount = to_float(value)
    return None if amount is None else seconds_to_ns(amount / 1000)


def _scaled_to_nano(value: object, *, most: int) -> int | None:
    amount = to_float(value)
    if amount is None or amount < 0 or amount * _NANO > most:
        return None
    return round(amount * _NANO)


def to_tagged_step(value: object) -> int | None:
    """Return N of a tag `graph:step:N` among the tags of a span: a list, or text with commas between."""
    tags = value if isinstance(value, list | tuple) else str(value)[:MAX_NAME_LENGTH].split(",")
    for tag in tags[:_MAX_TAGS]:
        found = _STEP_TAG.fullmatch(tag.strip()) if isinstance(tag, str) else None
        if found:
            return int(found.group(1))
    return None


def _sorting_encoder() -> Callable[[object], str]:
    encoder = json.JSONEncoder(sort_keys=True, default=_unknown_to_text)
    make = json.encoder.c_make_encoder  # type: ignore[attr-defined]  # the stubs leave it out
    if make is None:  # in another Python
        return encoder.encode
    # What `encode` makes for each value, made once: it is half of the cost. No value that is hashed holds itself.
    quote, sorts_keys, skips_keys, allows_nan = json.encoder.encode_basestring_ascii, True, False, True
    encode = make(None, encoder.default, quote, None, ": ", ", ", sorts_keys, skips_keys, allows_nan)
    return lambda value: "".join(encode(value, 0))


_encode_sorted = _sorting_encoder()
_no_digest = hashlib.blake2b(digest_size=8)  # copied: its parameters are read at half of the cost of a short hash


def to_hash(value: object) -> str | None:
    """Return a short hash of `value`: equal values have equal hashes, and the value can't be read back."""
    if isinstance(value, str) and value[:1] == "{" and len(value) <= MAX_JSON_LENGTH:
        value = parse_document(value) or value
    # The order of the keys of a mapping says nothing.
    text = (_sorted_json(value) if isinstance(value, dict) else None) or to_text(value)
    if text is None:
        return None
    digest = _no_digest.copy()
    digest.update(text.encode())
    return digest.hexdigest()


def _sorted_json(value: dict[Any, Any]) -> str | None:
    try:
        return _encode_sorted(value)
    except (ValueError, TypeError, RecursionError):
        return None


def to_finish_reason(value: object) -> str | None:
    """Return the finish reasons of a call, normalised and joined with commas."""
    only = value[0] if isinstance(value, list | tuple) and len(value) == 1 else value
    if type(only) is str and only in _NORMAL_FINISH_REASONS:
        return only
    if isinstance(value, str):
        value = _json_list(value) if value.startswith("[") else [value]
    if not isinstance(value, Sequence):
        return None
    reasons = []
    for item in value[:_MAX_TAGS]:
        if isinstance(item, str) and item:
            text = storable_text(item[:MAX_NAME_LENGTH]).removeprefix("FinishReason.").lower().replace("-", "_")
            reasons.append(_FINISH_REASONS.get(text, text))
    return ",".join(dict.fromkeys(reasons)) or None


def _json_list(text: str) -> list[object]:
    parsed = parse_document(text)
    return parsed if isinstance(parsed, list) else [text]


_BY_TYPE: Mapping[ColumnType, Callable[[object], object]] = {
    ColumnType.STRING: to_name,
    ColumnType.INT: to_int,
    ColumnType.FLOAT: to_float,
    ColumnType.BOOL: to_bool,
}
_BY_COLUMN: Mapping[str, Callable[[object], object]] = {
    "provider": to_provider,
    "reported_cost_nano_usd": usd_to_nano,
    "time_to_first_token_ns": seconds_to_ns,
    "tool_arguments_hash": to_hash,
    "finish_reason": to_finish_reason,
    "input_tokens": to_count,
    "output_tokens": to_count,
    "cache_read_tokens": to_count,
    "cache_write_tokens": to_count,
    "reasoning_tokens": to_count,
    "retry_count": to_count,
}
COLUMN_COERCION: Mapping[str, Callable[[object], object]] = {
    column.name: _BY_COLUMN.get(column.name) or _BY_TYPE[column.type]
    for column in SPAN_COLUMNS
    if column.type is not ColumnType.STRING_MAP
}
