"""Values inside text: several conventions keep usage, parameters and metadata as JSON or as a Python `repr`.

Bounded: text longer than the caps is not read, and nothing raises.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping

# Parsing costs about 10 ns a character; longer parameters and metadata carry content.
MAX_JSON_LENGTH = 65_536
# `literal_eval` costs 30 times as much.
MAX_LITERAL_LENGTH = 8_192
_JSON_STARTS = frozenset('{["')
_LITERAL_STARTS = frozenset("{[(")
# Requests are recorded whole, prompt and all; most serialisers put the model first.
_LEADING_MODEL = re.compile(r'\s*\{\s*"model"\s*:\s*"([^"\\]{1,256})"')

_decode_json = json.JSONDecoder().raw_decode
_LITERAL_TOKEN = re.compile(r"'[^']*'|\bNone\b|\bTrue\b|\bFalse\b")
_JSON_CONSTANTS = {"None": "null", "True": "true", "False": "false"}

PathStep = str | int


def parse_document(value: object) -> object:
    """Return what `value` holds: JSON (also quoted twice), else a Python literal; None when it is neither.

    A value that is no text is returned as it is.
    """
    if not isinstance(value, str):
        return value
    if len(value) > MAX_JSON_LENGTH:
        leading = _LEADING_MODEL.match(value)
        return {"model": leading.group(1)} if leading else None
    start = value[:1] if value[:1] in _JSON_STARTS else value.lstrip()[:1]
    if start in _JSON_STARTS:
        try:
            parsed = _parse_json(value)
            return json.loads(parsed) if isinstance(parsed, str) and parsed[:1] in ("{", "[") else parsed
        except (ValueError, RecursionError):
            pass
    return _parse_literal(value) if start in _LITERAL_STARTS else None


def _parse_json(text: str) -> object:
    """Return the value of JSON as `json.loads` does, at a third of its cost where nothing stands around the value."""
    if text[:1] not in _JSON_STARTS:
        return json.loads(text)
    parsed, end = _decode_json(text)
    return parsed if end == len(text) else json.loads(text)


def _parse_literal(text: str) -> object:
    if len(text) > MAX_LITERAL_LENGTH:
        return None
    if '"' not in text and "\\" not in text:  # then its strings are JSON's but for the quotes, at a fifth of the cost
        try:
            return json.loads(_LITERAL_TOKEN.sub(_as_json, text))
        except (ValueError, RecursionError):
            pass
    try:
        parsed: object = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return parsed


def _as_json(token: re.Match[str]) -> str:
    text = token.group()
    return _JSON_CONSTANTS.get(text) or f'"{text[1:-1]}"'


def read_path(document: object, path: tuple[PathStep, ...]) -> object:
    """Return the value at `path`, keys of objects and positions in lists; None when there is none."""
    for step in path:
        if isinstance(document, Mapping):
            document = document.get(step)
        elif isinstance(document, list | tuple) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return None
    return document
