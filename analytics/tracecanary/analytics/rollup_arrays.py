"""Rollups as arrays: rows of few days chosen, and added up by what a question tells apart. Pure.

Theory of operation. A part of what is derived never changes, so its rollups are read once and kept as arrays. Sums are
signed: adding up the rows of all parts gives the lake's. A question gives each rollup key a code, such as the place of
its cohort and arm; rows of other keys are left out. Pieces of days that a question cuts come as rows of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecanary.analytics.day_blocks import BLOCK_DAYS, Block
from tracecanary.analytics.engine import Arrays, Row

Places = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockRows:
    """Rows of one rollup, by ascending days or blocks of days.

    Args:
        arrays: Their columns.
        keys: The rollup keys that occur; `key_places` holds each row's place among them.
        slices: Where the rows of a block are.
    """

    arrays: Arrays
    keys: NDArray[np.int64]
    key_places: NDArray[np.int32]
    slices: Mapping[Block, slice]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartRollups:
    """The rollups of one part, or of a piece of a day.

    Args:
        tables: By name, the longest blocks first; the last have each day apart, and so can give any block.
        examples: Traces worth opening, of a piece of a day.
    """

    tables: Mapping[str, Sequence[BlockRows]]
    examples: Sequence[Row] = ()

    def row_count(self) -> int:
        """Return how many rows all tables have: what they take in memory goes with it."""
        return sum(len(rows.key_places) for table in self.tables.values() for rows in table)


def block_rows(arrays: Arrays) -> BlockRows:
    """Index rows with the columns `days`, which is the same for all, `first_day`, ascending, and `rollup_key`."""
    first_day, key = arrays.columns["first_day"], arrays.columns["rollup_key"]
    keys, places = np.unique(key, return_inverse=True)
    slices: dict[Block, slice] = {}
    if len(key):
        for days in BLOCK_DAYS:
            if days >= arrays.columns["days"][0]:
                slices |= _slices(first_day, days)
    kept = {name: column for name, column in arrays.columns.items() if name not in ("days", "first_day", "rollup_key")}
    return BlockRows(
        arrays=Arrays(columns=kept, labels=arrays.labels),
        keys=keys,
        key_places=places.astype(np.int32),
        slices=slices,
    )


def _slices(first_day: NDArray[np.int64], days: int) -> dict[Block, slice]:
    start = first_day - first_day % days
    begins = [0, *(np.flatnonzero(np.diff(start)) + 1).tolist()]
    ends = [*begins[1:], len(start)]
    return {
        Block(days=days, first_day=int(start[begin])): slice(begin, end)
        for begin, end in zip(begins, ends, strict=True)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What to read for one period: blocks of days of all parts, and pieces of days."""

    parts: Sequence[PartRollups]
    blocks: Sequence[Block]
    pieces: Sequence[PartRollups] = ()

    def rows_of(self, table: str) -> Iterator[tuple[BlockRows, slice]]:
        """Give the rows of a table, source by source."""
        for part in self.parts:
            for block in self.blocks:
                found = next((rows for rows in part.tables[table] if block in rows.slices), None)
                if found is not None:
                    yield found, found.slices[block]
        for piece in self.pieces:
            for rows in piece.tables[table]:
                yield rows, slice(0, len(rows.key_places))


class Picked:
    """The chosen rows of one rollup; `codes` has the code of each row's key, plus its period times `per_period`."""

    def __init__(self, codes: Places, sources: Sequence[tuple[BlockRows, slice | Places]]) -> None:
        self.codes = codes
        self._sources = sources

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column of numbers."""
        return _joined([source.arrays.columns[name][rows] for source, rows in self._sources])

    def labelled(self, name: str) -> tuple[Places, list[str]]:
        """Return a column of texts: each row's place among the texts, ascending, and these."""
        texts = sorted({text for source, _ in self._sources for text in source.arrays.labels[name]})
        place = {text: number for number, text in enumerate(texts)}
        joined = []
        for source, rows in self._sources:
            translated = np.array([place[text] for text in source.arrays.labels[name]], dtype=np.int64)
            joined.append(translated[source.arrays.columns[name][rows]])
        return _joined(joined).astype(np.int64, copy=False), texts


def pick(table: str, periods: Iterable[Chosen], code_of: Mapping[int, int], *, per_period: int = 0) -> Picked:
    """Pick the rows of a table in each period.

    Args:
        table: Name of the rollup.
        periods: What to read, by period.
        code_of: By rollup key; keys without a code are left out.
        per_period: Added to the code for each period before.
    """
    codes: list[Places] = []
    sources: list[tuple[BlockRows, slice | Places]] = []
    known: dict[int, Places] = {}
    for number, period in enumerate(periods):
        for source, rows in period.rows_of(table):
            if id(source) not in known:
                known[id(source)] = np.array([code_of.get(key, -1) for key in source.keys.tolist()], dtype=np.int64)
            own = known[id(source)]
            found = own[source.key_places[rows]]
            kept: slice | Places = rows
            if (own < 0).any():
                inside = np.flatnonzero(found >= 0)
                found, kept = found[inside], inside + rows.start
            if len(found):
                codes.append(found + number * per_period)
                sources.append((source, kept))
    return Picked(_joined(codes).astype(np.int64, copy=False), sources)


def tally(places: Places, weights: NDArray[Any], shape: tuple[int, ...]) -> Floats:
    """Add up weights by place in a flattened array of `shape`."""
    if not math.prod(shape):
        return np.zeros(shape)  # what is left of rollup keys whose traces have all gone elsewhere
    counts: Floats = np.bincount(places, weights=weights, minlength=math.prod(shape)).astype(np.float64, copy=False)
    return counts.reshape(shape)


def _joined(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
