"""What caches may hold: senders choose it, and a cache that counts its entries alone can fill the memory. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Resources and shapes of real applications take a hundredth of it.
MAX_HELD_CHARACTERS = 64 * 1024
_ITEM_CHARACTERS = 16


def is_holdable(value: Any) -> bool:
    """Tell whether `value`, a text or anything made of lists, mappings and texts, is small enough to be held."""
    return _characters(value) <= MAX_HELD_CHARACTERS


def _characters(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value) + _ITEM_CHARACTERS
    if isinstance(value, Mapping):
        return sum(_characters(name) + _characters(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_characters, value))
    return _ITEM_CHARACTERS
