"""What has been derived from a lake, and from which of its files. Pure: `derived_files` reads and writes it.

Theory of operation. Derived rows stand in parts: sets of immutable Parquet files, one set for each time that new rows
of the lake were applied. Facts of a trace are replaced: a later part's row supersedes an earlier one. Rollups are sums
of integers, so a part holds what changed: the sums of the traces derived again, minus the sums that these had before.
Adding up all parts gives the rollups of all traces exactly, in whatever order the rows came. Small parts are merged
into larger ones, so that there are never many.

A state names the parts, and the files of the lake that are in them. A file that compaction made of files that are in
them brings nothing new.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tracecanary.analytics.config import Retention
from tracecanary.schema import LakeFiles, LakeTable

# Above it, parts are merged whatever their sizes: each part costs every reader the opening of its files.
_MAX_PARTS = 24
# Fewer are not worth a merge. Of large ones, as building a lake from nothing makes them, it takes many more: to write
# these again costs much.
_MERGED_AT_ONCE, _LARGE_MERGED_AT_ONCE = 4, 16
_LARGE_TRACES = 100_000
HOUR_NS = 3_600_000_000_000
_HOURS_PER_DAY = 24
DAY_NS = _HOURS_PER_DAY * HOUR_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files of a lake at one moment.

    Attributes:
        files: By table, the names (relative to the lake) of the files to read.
        compacted: Names of those that compaction made of other files.
        adopted: Names of files that must not be read any more, since compaction has their rows in others.
        gone_in: Of adopted files, the number of the manifest that dropped them.
        manifest: Number of the newest manifest.
        forgotten_through: Who does not know that manifest or a later one, can't tell what is new.
        kept_from_hour: By table, the first hour that retention has kept.
    """

    files: Mapping[LakeTable, Sequence[str]]
    compacted: frozenset[str] = frozenset()
    adopted: frozenset[str] = frozenset()
    gone_in: Mapping[str, int] = field(default_factory=dict)
    manifest: int = 0
    forgotten_through: int = 0
    kept_from_hour: Mapping[str, int] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Names of all files, of every table."""
        return frozenset(name for files in self.files.values() for name in files)


def listing_of(files: LakeFiles) -> Listing:
    """Return what deriving looks at of the files of a lake."""
    return Listing(
        files={table: files.names(table) for table in LakeTable},
        compacted=files.rewritten_names,
        adopted=files.manifest.gone_paths,
        gone_in={gone.path: gone.manifest for gone in files.manifest.gone},
        manifest=files.manifest.number,
        forgotten_through=files.manifest.forgotten_through,
        kept_from_hour={table.value: hour for table, hour in files.manifest.kept_from_hour.items()},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Rows of a lake file, and when its spans start, ns since the epoch; None where that is not known."""

    rows: int
    first_ns: int | None = None
    last_ns: int | None = None

    def meets(self, spans: Sequence[tuple[int, int]]) -> bool:
        """Whether it may hold a span that starts in one of the ranges `spans`, both ends included."""
        if self.first_ns is None or self.last_ns is None:
            return self.rows > 0
        return any(first <= self.last_ns and self.first_ns <= last for first, last in spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Derived rows of one revision or several merged.

    Attributes:
        revision: The newest of its rows.
        traces: Number of traces.
        files: Names of files by derived table.
        by_response: Judgements that belong to a trace by gen_ai.response.id alone.
    """

    revision: int
    traces: int
    files: Mapping[str, str]
    by_response: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedState:
    """Everything derived up to a revision. Revision 0 stands for nothing.

    Attributes:
        revision: Counts up; of two states the one with the higher revision is newer.
        inputs: By table, the lake files whose rows are in the parts.
        adopted: Names of files whose rows are in the parts, too, and that compaction has put into others since.
        manifest: Number of the lake's newest manifest when it was derived.
        is_whole: Whether it has every row that the lake had then.
        kept_from_hour: By table, the first hour that retention had kept. What was derived of older rows stays.
        facts_from_day: Since that day, counted since the epoch, facts are kept. Of traces that started before, only
            rollups count, and whatever comes late for them does not. 0: all of them are.
        rollups_from_day: Likewise of rollups; never later.
        parts: Oldest first.
        wide_dimensions: Names of cohort dimensions with so many values that nothing is derived by them.
        carried_from: Other definitions whose facts of traces that outlived their spans are in the parts.
        left_in: By other definitions whose facts of such traces could not be taken over, the hour, counted since the
            epoch, from which on facts are known here.
    """

    revision: int = 0
    inputs: Mapping[LakeTable, Mapping[str, Extent]] = field(default_factory=dict)
    adopted: frozenset[str] = frozenset()
    manifest: int = 0
    is_whole: bool = False
    kept_from_hour: Mapping[str, int] = field(default_factory=dict)
    facts_from_day: int = 0
    rollups_from_day: int = 0
    parts: tuple[Part, ...] = ()
    wide_dimensions: frozenset[str] = frozenset()
    carried_from: frozenset[str] = frozenset()
    left_in: Mapping[str, int] = field(default_factory=dict)

    @property
    def facts_from_ns(self) -> int:
        """Start of the traces whose facts are kept, ns since the epoch."""
        return self.facts_from_day * DAY_NS

    @property
    def rollups_from_ns(self) -> int:
        """Start of the days whose rollups are kept, ns since the epoch."""
        return self.rollups_from_day * DAY_NS

    @property
    def missing_before_ns(self) -> int:
        """Before it, ns since the epoch, traces may be missing whose facts were left elsewhere; 0 if none is missed."""
        left_ns = max(self.left_in.values(), default=0) * HOUR_NS
        return left_ns if left_ns > self.rollups_from_ns else 0

    @property
    def names(self) -> frozenset[str]:
        """Names of all inputs, of every table."""
        return frozenset(name for files in self.inputs.values() for name in files)

    def files_of(self, table: str) -> list[str]:
        """Return the file names of a derived table, oldest part first."""
        return [part.files[table] for part in self.parts if table in part.files]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """Parts that follow each other, and one that stands for all of them."""

    parts: tuple[Part, ...]
    part: Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a listing has that a state lacks, and the reverse.

    Attributes:
        unread: Files with rows that the state may lack.
        rewritten: Files made by compaction of files that the state has.
        vanished: Inputs that are gone, with their rows.
    """

    unread: Mapping[LakeTable, tuple[str, ...]]
    rewritten: frozenset[str]
    vanished: Mapping[LakeTable, tuple[str, ...]]

    @property
    def has_unread(self) -> bool:
        """Whether there are rows to apply."""
        return any(self.unread.values())

    @property
    def has_vanished(self) -> bool:
        """Whether rows went."""
        return any(self.vanished.values())


def can_follow(state: DerivedState, listing: Listing) -> bool:
    """Whether what is new can be told: compaction forgets in time what it adopted."""
    return state.manifest >= listing.forgotten_through


def kept_hours(state: DerivedState, listing: Listing) -> dict[str, int]:
    """Return the first hour kept of each table: what was dropped once doesn't come back when more is kept later."""
    tables = {**state.kept_from_hour, **listing.kept_from_hour}
    return {
        table: max(kept.get(table, hour) for kept in (state.kept_from_hour, listing.kept_from_hour))
        for table, hour in tables.items()
    }


def kept_from_ns(hours: Mapping[str, int]) -> dict[LakeTable, int]:
    """Return since when rows are kept, ns since the epoch, of each table with such an hour."""
    return {table: hours[table.value] * HOUR_NS for table in LakeTable if table.value in hours}


def without_expired(state: DerivedState, retention: Retention, *, now_ms: int) -> DerivedState:
    """Return `state` without the facts and rollups that are not to be kept any longer.

    What was dropped once doesn't come back. Facts stay as much longer than what compaction keeps of spans as they are
    to be kept longer: of spans that are still there, they would be derived again, and count twice.
    """
    facts_from, rollups_from = retention.facts_from_day(now_ms=now_ms), retention.rollups_from_day(now_ms=now_ms)
    if facts_from is None or retention.facts_days is None or retention.spans_days is None:
        return state
    longer_hours = round((retention.facts_days - retention.spans_days) * _HOURS_PER_DAY)
    without_spans = (state.kept_from_hour.get(LakeTable.SPANS.value, 0) - longer_hours) // _HOURS_PER_DAY
    facts = max(state.facts_from_day, min(facts_from, without_spans))
    rollups = max(state.rollups_from_day, min(rollups_from or 0, facts))
    return replace(state, facts_from_day=facts, rollups_from_day=rollups)


def difference(state: DerivedState, listing: Listing) -> Difference:
    """Compare what was derived with what there is."""
    seen = state.names | state.adopted
    # New rows enter a lake as segments that nobody has compacted. If the state had all rows of its time, and all of the
    # segments that compaction has taken since were seen, then what it made holds nothing new. Else it may, and is read.
    is_all_seen = state.is_whole and all(
        name in seen or listing.gone_in.get(name, state.manifest + 1) <= state.manifest
        for name in listing.adopted
        if name not in listing.compacted
    )
    unread: dict[LakeTable, tuple[str, ...]] = {}
    rewritten: set[str] = set()
    for table, files in listing.files.items():
        new = sorted(name for name in files if name not in seen)
        neutral = {name for name in new if is_all_seen and name in listing.compacted}
        rewritten |= neutral
        unread[table] = tuple(name for name in new if name not in neutral)
    vanished = {
        table: tuple(
            sorted(name for name in files if name not in listing.files.get(table, {}) and name not in listing.adopted)
        )
        for table, files in state.inputs.items()
    }
    return Difference(unread=unread, rewritten=frozenset(rewritten), vanished=vanished)


def first_to_merge(parts: Sequence[Part], *, are_large_left: bool = False) -> int:
    """Return the place of the first part to merge with all that follow it; the number of parts for none.

    A part is merged once as much follows it as it holds itself: so each row is merged a number of times that grows with
    the logarithm of all rows only, and so does the number of parts. With `are_large_left`, large ones wait until they
    are many: somebody waits for what is derived now.
    """
    place = _first_outweighed(parts)
    if len(parts) > _MAX_PARTS:
        return min(place, _MAX_PARTS - 1)
    if are_large_left and sum(part.traces >= _LARGE_TRACES for part in parts[place:]) < _LARGE_MERGED_AT_ONCE:
        small = next((number for number in range(len(parts), 0, -1) if parts[number - 1].traces >= _LARGE_TRACES), 0)
        place = small + _first_outweighed(parts[small:])
    return place if len(parts) - place >= _MERGED_AT_ONCE else len(parts)


def _first_outweighed(parts: Sequence[Part]) -> int:
    """Return the place of the first part that those after it outweigh; the number of parts for none."""
    place = len(parts)
    following = 0
    for number in range(len(parts) - 1, -1, -1):
        if following and parts[number].traces <= following:
            place = number
        following += parts[number].traces
    return place


def with_merged(state: DerivedState, merged: Merged) -> DerivedState | None:
    """Return the state after `state`, with a merged part in place of its parts; None if it has not all of them."""
    first = state.parts.index(merged.parts[0]) if merged.parts[0] in state.parts else len(state.parts)
    end = first + len(merged.parts)
    if state.parts[first:end] != merged.parts:
        return None
    parts = (*state.parts[:first], merged.part, *state.parts[end:])
    return replace(state, revision=state.revision + 1, parts=parts)


def merged_ranges(ranges: Sequence[tuple[int, int]], *, gap_ns: int) -> list[tuple[int, int]]:
    """Return fewer ranges that cover `ranges`: those that overlap, or lie less than `gap_ns` apart, become one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first - merged[-1][1] <= gap_ns:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def state_to_json(state: DerivedState) -> str:
    """Write a state as JSON."""
    return json.dumps(
        {
            "revision": state.revision,
            "adopted": sorted(state.adopted),
            "manifest": state.manifest,
            "is_whole": state.is_whole,
            "kept_from_hour": dict(state.kept_from_hour),
            "facts_from_day": state.facts_from_day,
            "rollups_from_day": state.rollups_from_day,
            "inputs": {
                table.value: {name: [extent.rows, extent.first_ns, extent.last_ns] for name, extent in files.items()}
                for table, files in state.inputs.items()
            },
            "parts": [asdict(part) for part in state.parts],
            "wide_dimensions": sorted(state.wide_dimensions),
            "carried_from": sorted(state.carried_from),
            "left_in": dict(state.left_in),
        }
    )


def state_from_json(text: str) -> DerivedState:
    """Read a state.

    Raises:
        ValueError: The text is no state.
    """
    try:
        stored: Any = json.loads(text)
        return DerivedState(
            revision=stored["revision"],
            adopted=frozenset(stored["adopted"]),
            manifest=stored["manifest"],
            is_whole=stored["is_whole"],
            kept_from_hour=stored["kept_from_hour"],
            facts_from_day=stored.get("facts_from_day", 0),  # states of older versions lack them
            rollups_from_day=stored.get("rollups_from_day", 0),
            inputs={
                LakeTable(table): {
                    name: Extent(rows=rows, first_ns=first, last_ns=last) for name, (rows, first, last) in files.items()
                }
                for table, files in stored["inputs"].items()
            },
            parts=tuple(Part(**part) for part in stored["parts"]),
            wide_dimensions=frozenset(stored["wide_dimensions"]),
            carried_from=frozenset(stored.get("carried_from", ())),
            left_in=stored.get("left_in", {}),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a derived state: {error!r}") from error
