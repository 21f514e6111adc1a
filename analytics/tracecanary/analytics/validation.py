"""How a value that a model of pydantic refuses is told: its name, what it must be, and what was given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

_MAX_SHOWN = 80  # characters: an explanation may have thousands


def problems_of(error: ValidationError, *, whole: str, unknown: str) -> list[str]:
    """Return one line for each value that was refused.

    Args:
        error: What pydantic found.
        whole: Name of what was read, for what is wrong with it as a whole.
        unknown: What to do about a key that is not known.
    """
    return [_problem(item, whole, unknown) for item in error.errors()]


def _problem(item: Mapping[str, Any], whole: str, unknown: str) -> str:
    name = ".".join(map(str, item["loc"])) or whole
    match item["type"]:
        case "missing":
            return f"{name}: it is missing; add it"
        case "extra_forbidden":
            return f"{name}: there is no such key; {unknown}"
        case "model_type" | "dict_type":
            return f"{name}: it must be a table of names and values (given: {_shown(item['input'])})"
        case "value_error":  # our own words, which say what to do
            given = f" (given: {_shown(item['input'])})" if item["loc"] else ""
            return f"{name}: {str(item['msg']).removeprefix('Value error, ')}{given}"
        case _:
            return f"{name}: {item['msg']} (given: {_shown(item['input'])})"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
