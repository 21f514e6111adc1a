"""Attribute values as instrumentations really send them, turned into column values.

Numbers arrive as strings, costs as floats, lists as JSON text. What can't be read becomes None: a value is missing,
the span is not lost.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence

from tracecanary.schema import SPAN_COLUMNS, ColumnType

_MAX_INT64 = 2**63 - 1
_NANO = 1_000_000_000
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,19}\s*")
# Longer strings in the remaining attributes are more likely content than facts.
MAX_TEXT_LENGTH = 512
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
        return str(value) if isinstance(value, int | float) else json.dumps(value, default=_unknown_to_text)
    except (ValueError, TypeError, RecursionError):  # an integer of 4,300 digits, a key that is a tuple, a deep nesting
        return None


def storable_text(text: str) -> str:
    r"""Return `text` with lone surrogates, which no UTF-8 can hold, written as `\udc80`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _unknown_to_text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def to_int(value: object) -> int | None:
    """Return `value` as a 64-bit integer, also from text such as "12" or 12.0; None when it is none."""
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


def to_token_count(value: object) -> int | None:
    """Return a count of tokens; a negative one is not a count."""
    count = to_int(value)
    return count if count is not None and count >= 0 else None


def usd_to_nano(value: object) -> int | None:
    """Return an amount in USD as integer nano-USD; a negative one is not a cost."""
    return _scaled_to_nano(value)


def seconds_to_ns(value: object) -> int | None:
    """Return a duration in seconds as integer ns; a negative one is not a duration."""
    return _scaled_to_nano(value)


def _scaled_to_nano(value: object) -> int | None:
    amount = to_float(value)
    if amount is None or amount < 0 or amount * _NANO > _MAX_INT64:
        return None
    return round(amount * _NANO)


def to_hash(value: object) -> str | None:
    """Return a short hash of `value`: equal values have equal hashes, and the value can't be read back."""
    text = to_text(value)
    if text is None:
        return None
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def to_finish_reason(value: object) -> str | None:
    """Return the finish reasons of a call, normalised and joined with commas."""
    if isinstance(value, str):
        value = _json_list(value) if value.startswith("[") else [value]
    if not isinstance(value, Sequence):
        return None
    reasons = []
    for item in value:
        if isinstance(item, str) and item:
            text = storable_text(item).removeprefix("FinishReason.").lower().replace("-", "_")
            reasons.append(_FINISH_REASONS.get(text, text))
    return ",".join(dict.fromkeys(reasons)) or None


def _json_list(text: str) -> list[object]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return [text]
    return parsed if isinstance(parsed, list) else [text]


_BY_TYPE: Mapping[ColumnType, Callable[[object], object]] = {
    ColumnType.STRING: to_text,
    ColumnType.INT: to_int,
    ColumnType.FLOAT: to_float,
    ColumnType.BOOL: to_bool,
}
_BY_COLUMN: Mapping[str, Callable[[object], object]] = {
    "reported_cost_nano_usd": usd_to_nano,
    "time_to_first_token_ns": seconds_to_ns,
    "tool_arguments_hash": to_hash,
    "finish_reason": to_finish_reason,
    "input_tokens": to_token_count,
    "output_tokens": to_token_count,
    "cache_read_tokens": to_token_count,
    "cache_write_tokens": to_token_count,
    "reasoning_tokens": to_token_count,
    "retry_count": to_token_count,
}
COLUMN_COERCION: Mapping[str, Callable[[object], object]] = {
    column.name: _BY_COLUMN.get(column.name) or _BY_TYPE[column.type]
    for column in SPAN_COLUMNS
    if column.type is not ColumnType.STRING_MAP
}
