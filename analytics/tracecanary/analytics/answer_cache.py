"""Answers, kept until others are asked for. Whoever asks for one that is being made waits for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(slots=True, eq=False)
class _Entry(Generic[Value]):
    """One answer; `lock` is held while it is made, and guards the rest."""

    lock: Lock = field(default_factory=Lock)
    value: Value | None = None


class AnswerCache(Generic[Value]):
    """Keeps the answers that were asked for last.

    Args:
        most: Answers kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Guards the entries, and is never held while an answer is made.
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, _Entry[Value]] = OrderedDict()

    def known(self, key: Hashable) -> Value | None:
        """Return an answer if it is there, without waiting."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry.value

    def answer(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the answer of `key`, made once; after an error, which is the caller's, the next one tries again."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            if entry.value is None:
                try:
                    entry.value = make()
                except BaseException:
                    self._give_up(key, entry)
                    raise
                self._make_room()
            return entry.value

    def _make_room(self) -> None:
        """Drop the answers asked for longest ago: for one that was made, since a failed one is to push out nothing."""
        with self._lock:
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def _give_up(self, key: Hashable, entry: _Entry[Value]) -> None:
        """Give up the place of an answer that could not be made; others that wait for it try on their own."""
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]

    def forget(self, key: Hashable) -> None:
        """Drop an answer."""
        with self._lock:
            self._entries.pop(key, None)
