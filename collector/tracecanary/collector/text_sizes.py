"""How much memory attribute values hold, and cutting those that hold too much: a prompt may be of 1 MB."""

from __future__ import annotations

from collections.abc import Mapping
from gc import is_tracked
from operator import length_hint
from typing import Any

# Longer texts are cut while they wait: what is stored of content is at most a hash, of other texts 512 characters.
MAX_VALUE_LENGTH = 8192
_ATOMS = frozenset({int, float, bool, type(None)})
# Looking further into a list or mapping costs more than it tells.
_MAX_ITEMS_SEEN = 1_000
_ITEM_BYTES = 60


def text_size(attributes: dict[str, Any]) -> int:
    """Return the characters in the values of `attributes`, with an estimate for those that are no texts."""
    # A dict of nothing but atoms is not tracked by the garbage collector, and for those, this is twice as fast as a
    # loop: the length of a text, 0 for what has none. (A full collection may stop tracking a dict that holds tuples of
    # texts, too; their texts are then not counted.)
    if not is_tracked(attributes):
        return sum(map(length_hint, attributes.values()))
    return sum([len(value) if value.__class__ is str else _size(value) for value in attributes.values()])


def shortened(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return `attributes` with long texts cut, and without other values that are too big to be kept."""
    kept = {}
    for name, value in attributes.items():
        if isinstance(value, str | bytes):
            kept[name] = value[:MAX_VALUE_LENGTH]
        elif _size(value) <= MAX_VALUE_LENGTH:
            kept[name] = value
    return kept


def _size(value: object) -> int:
    """Estimate the bytes of a value that is no text, without recursion: it may be nested 100,000 deep."""
    if value.__class__ in _ATOMS:
        return 0
    size, seen, waiting = 0, 0, [value]
    while waiting and seen < _MAX_ITEMS_SEEN and size <= MAX_VALUE_LENGTH * _ITEM_BYTES:
        item = waiting.pop()
        seen += 1
        if isinstance(item, str | bytes):
            size += len(item)
        elif isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            waiting += item
        size += _ITEM_BYTES
    return size + len(waiting) * _ITEM_BYTES
