"""Bringing what is derived from a lake up to date, part by part."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from tracecanary.analytics.config import DerivationSettings, wall_clock_ms
from tracecanary.analytics.derived_files import DerivedFolder, smallest_value
from tracecanary.analytics.derived_inheritance import find_inheritance
from tracecanary.analytics.derived_keys import KEYS_TABLE, write_keys
from tracecanary.analytics.derived_state import (
    DAY_NS,
    DerivedState,
    Difference,
    Extent,
    Listing,
    Merged,
    Part,
    can_follow,
    difference,
    first_to_merge,
    kept_from_ns,
    kept_hours,
    merged_ranges,
    with_merged,
    without_expired,
)
from tracecanary.analytics.derived_steps import (
    carry_over,
    carry_rollups,
    derive_facts,
    find_dirty,
    leave_out_late_spans,
    open_known_rows,
    open_new_rows,
    open_retention,
    parts_to_open,
    sum_up,
    wide_dimensions,
)
from tracecanary.analytics.derived_tables import DERIVED_TABLES, ROW_TABLES, leave_out_expired, open_known, open_parts
from tracecanary.analytics.engine import Engine, EngineLimits
from tracecanary.analytics.parquet_files import file_statistics
from tracecanary.schema import LakeTable

_logger = logging.getLogger(__name__)

# Spans derived at once: what bounds the memory of building a large lake from nothing.
BATCH_SPANS = 6_000_000
_ALL_TIME = (-(2**63), 2**63 - 1)
_SEARCH_GAP_NS = 60_000_000_000
_MOST_DELETION_DELAY_DAYS = 7
# Who leaves merging to another thread merges when that falls so far behind: each part costs every reader some files.
_MAX_UNMERGED_PARTS = 64


# By table, the extents of files by their names.
Extents = Mapping[LakeTable, Mapping[str, Extent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Files whose rows are applied together; `traces_from` holds ranges of time whose traces are derived again, too."""

    spans: tuple[str, ...] = ()
    evaluations: tuple[str, ...] = ()
    traces_from: tuple[tuple[int, int], ...] = ()


class Builder:
    """Brings the derived state of one lake up to date.

    Args:
        folder: Where derived files stand.
        fetch: Gives local paths of files of the lake, in the order of their names.
        limits: What deriving may take of the machine.
        settings: What facts depend on beside the lake, and how long they are kept.
        batch_spans: Spans derived at once.
        is_merging: Whether `advance` merges small parts; else somebody else does with `merged`.
        clock_ms: Gives the present time, ms since the epoch.
    """

    def __init__(
        self,
        folder: DerivedFolder,
        fetch: Callable[[Sequence[str]], Sequence[Path]],
        limits: EngineLimits | None = None,
        *,
        settings: DerivationSettings | None = None,
        batch_spans: int = BATCH_SPANS,
        is_merging: bool = True,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._folder = folder
        self._fetch = fetch
        self._limits = limits
        self._settings = settings or DerivationSettings()
        self._batch_spans = batch_spans
        self._is_merging = is_merging
        self._clock_ms = clock_ms

    def advance(self, state: DerivedState, listing: Listing) -> DerivedState:
        """Return the state that has everything of `listing`, publishing each step; `state` itself if nothing is new.

        When another process is faster, its states are gone on from.

        Raises:
            StoreError: A file of the lake is damaged, or newer than this version reads.
            OSError: The derived folder can't be written.
        """
        while True:
            step = self._next_step(state, listing, difference(state, listing))
            if step is None:
                return state
            self._folder.release(_file_names(state) - _file_names(step))
            if self._folder.publish(step):
                state = step
            else:
                self._folder.discard(sorted(_file_names(step) - _file_names(state)))
                state = self._folder.newest()

    def _next_step(self, state: DerivedState, listing: Listing, found: Difference) -> DerivedState | None:
        kept = without_expired(state, self._settings.retention, now_ms=self._clock_ms())
        if kept != state:  # before what is new: late rows of an expired trace don't count
            return replace(kept, revision=state.revision + 1)
        if found.vanished.get(LakeTable.EVALUATIONS) or not can_follow(state, listing):
            # Judgements of a file that went can't be told from those of another.
            return self._begun_anew(state, listing)
        inherited = self._inherited(state, listing) if state.revision == 0 else None
        if inherited is not None:
            return inherited
        if found.has_unread or found.has_vanished or not state.parts:
            return self._apply(state, listing, found)
        is_retained = kept_hours(state, listing) == dict(state.kept_from_hour) and state.names <= listing.names
        if found.rewritten or not is_retained:
            return self._following(state, listing, self._extents(state, listing), found, Batch())
        is_merging = self._is_merging or len(state.parts) > _MAX_UNMERGED_PARTS
        merged = self.merged(state, are_large_left=True) if is_merging else None
        return None if merged is None else with_merged(state, merged)

    def _begun_anew(
        self, state: DerivedState, listing: Listing, *, wide_dimensions: frozenset[str] = frozenset()
    ) -> DerivedState:
        """Return the state after `state` from which everything is derived anew that can be."""
        emptied = DerivedState(
            revision=state.revision + 1,
            manifest=listing.manifest,
            kept_from_hour=kept_hours(state, listing),
            wide_dimensions=wide_dimensions,
            carried_from=state.carried_from,
            left_in=state.left_in,
            facts_from_day=state.facts_from_day,
            rollups_from_day=state.rollups_from_day,
        )
        return self._carried(emptied, self._folder, state)

    def _inherited(self, state: DerivedState, listing: Listing) -> DerivedState | None:
        """Return the state after `state`, of which there is nothing, with what only another definition still knows."""
        found = find_inheritance(self._folder, state, listing, self._part_without_rows, limits=self._limits)
        if found is None or found.known is None:
            return None if found is None else found.emptied
        try:
            return self._carried(found.emptied, found.folder, found.known)
        finally:
            self._folder.discard(list(found.written))

    def _part_without_rows(self) -> Part:
        """Write a part of no rows at all: it has the columns that are derived here."""
        state, listing = DerivedState(), Listing(files={})
        (part,) = self._apply(state, listing, difference(state, listing)).parts
        return part

    def _carried(self, emptied: DerivedState, folder: DerivedFolder, known: DerivedState) -> DerivedState:
        """Return `emptied` with a part of what `known`, in `folder`, knows and the lake doesn't any more."""
        kept = kept_from_ns(emptied.kept_from_hour)
        if not kept or not known.parts:
            return emptied
        parts = []
        if known.facts_from_day:
            with Engine(self._limits) as engine:
                carry_rollups(engine, folder, known)
                parts.append(self._write(engine, emptied.revision))
        with Engine(self._limits) as engine:
            carry_over(engine, folder, known, kept, revision=emptied.revision)
            parts.append(self._write(engine, emptied.revision))
        return replace(emptied, parts=tuple(parts))

    def _extents(self, state: DerivedState, listing: Listing) -> Extents:
        """Return the extents of every file, reading the footers of those that are new."""
        extents: dict[LakeTable, dict[str, Extent]] = {}
        for table, names in listing.files.items():
            known = state.inputs.get(table, {})
            new = [name for name in names if name not in known]
            read = {name: _extent_of(path, table) for name, path in zip(new, self._fetch(new), strict=True)}
            extents[table] = {name: known.get(name) or read[name] for name in names}
        return extents

    def _next_batch(self, found: Difference, extents: Extents, state: DerivedState) -> Batch:
        spans = extents.get(LakeTable.SPANS, {})
        ascending = sorted(found.unread.get(LakeTable.SPANS, ()), key=lambda name: (spans[name].first_ns or 0, name))
        chosen: list[str] = []
        rows = 0
        for name in ascending:
            if chosen and rows + spans[name].rows > self._batch_spans:
                break
            chosen.append(name)
            rows += spans[name].rows
        # Judgements find their traces in whatever order both come; those that came with these spans mostly are of them,
        # and with later spans would have their traces derived twice.
        last_ns = max((spans[name].last_ns or 0 for name in chosen), default=0)
        is_last = len(chosen) == len(ascending)
        received = extents.get(LakeTable.EVALUATIONS, {})
        judgements = [
            name
            for name in found.unread.get(LakeTable.EVALUATIONS, ())
            if is_last or (received[name].first_ns or last_ns + 1) <= last_ns
        ]
        gone = [state.inputs[LakeTable.SPANS][name] for name in found.vanished.get(LakeTable.SPANS, ())]
        return Batch(
            spans=tuple(chosen),
            evaluations=tuple(judgements),
            traces_from=tuple(
                _ALL_TIME if one.first_ns is None or one.last_ns is None else (one.first_ns, one.last_ns)
                for one in gone
            ),
        )

    def _apply(self, state: DerivedState, listing: Listing, found: Difference) -> DerivedState:
        revision = state.revision + 1
        extents = self._extents(state, listing)
        batch = self._next_batch(found, extents, state)
        with Engine(self._limits) as engine:
            open_new_rows(engine, spans=self._fetch(batch.spans), evaluations=self._fetch(batch.evaluations))
            parts = parts_to_open(engine, self._folder, state, touched=batch.traces_from)
            open_known(engine, self._folder, state, parts)
            self._apply_retention(engine, kept_from_ns(kept_hours(state, listing)), batch)
            self._open_known_spans(engine, found, batch, extents)
            derive_facts(engine, self._settings, revision=revision, without_dimensions=state.wide_dimensions)
            wide = state.wide_dimensions.union(wide_dimensions(engine, state) if self._settings.dimensions else [])
            if wide != state.wide_dimensions:  # begin anew, without them; what is carried over may still have them
                return self._begun_anew(state, listing, wide_dimensions=wide)
            part = self._write(engine, revision)
        return replace(self._following(state, listing, extents, found, batch), parts=(*state.parts, part))

    def _following(
        self, state: DerivedState, listing: Listing, extents: Extents, found: Difference, batch: Batch
    ) -> DerivedState:
        """Return the state after `state` that has the rows of `batch`, and reads rewritten rows where they are now."""
        taken = state.names.union(found.rewritten, batch.spans, batch.evaluations)
        return DerivedState(
            revision=state.revision + 1,
            inputs={
                table: {name: extent for name, extent in files.items() if name in taken}
                for table, files in extents.items()
            },
            adopted=listing.adopted & (state.names | state.adopted),
            manifest=listing.manifest,
            is_whole=all(name in taken for names in found.unread.values() for name in names),
            kept_from_hour=kept_hours(state, listing),
            facts_from_day=state.facts_from_day,
            rollups_from_day=state.rollups_from_day,
            parts=state.parts,
            wide_dimensions=state.wide_dimensions,
            carried_from=state.carried_from,
            left_in=state.left_in,
        )

    def _apply_retention(self, engine: Engine, kept_ns: Mapping[LakeTable, int], batch: Batch) -> None:
        open_retention(engine, kept_ns)
        late = leave_out_late_spans(engine) if LakeTable.SPANS in kept_ns and batch.spans else 0
        if late:
            _logger.info("%d spans came after those of their traces or hours had expired: they don't count", late)

    def _open_known_spans(self, engine: Engine, found: Difference, batch: Batch, extents: Extents) -> None:
        ranges = merged_ranges(find_dirty(engine, touched=batch.traces_from), gap_ns=_SEARCH_GAP_NS)
        unread = set(found.unread.get(LakeTable.SPANS, ()))
        spans = extents.get(LakeTable.SPANS, {})
        earlier = [name for name, extent in spans.items() if name not in unread and extent.meets(ranges)]
        open_known_rows(engine, spans=self._fetch(earlier))

    def _write(self, engine: Engine, revision: int) -> Part:
        paths = {table: self._folder.new_file(table) for table in DERIVED_TABLES}
        keys_path = self._folder.new_file(KEYS_TABLE, suffix=".npy")
        # Writing one file keeps the engine's threads busy for part of the time only.
        with ThreadPoolExecutor(self._limits.threads if self._limits else None) as pool:
            written = [pool.submit(_write_rows, engine, table, path) for table, path in paths.items()]
            keys = pool.submit(_write_keys_of_facts, engine, keys_path)
            for one in written:
                one.result()
        (found,) = engine.rows("by_response_v1")
        return Part(
            revision=revision,
            traces=keys.result(),
            files={**{table: path.name for table, path in paths.items()}, KEYS_TABLE: keys_path.name},
            by_response=found["judgements"],
        )

    def merged(self, state: DerivedState, *, are_large_left: bool = False) -> Merged | None:
        """Merge the parts of `state` that are worth it, or write one anew without what has expired; None if none is.

        What is derived meanwhile comes after them, so this may take as long as it will: `publish_merged` is quick. Who
        waits for it has `are_large_left`: large ones are merged when they are many.

        Raises:
            StoreError: A derived file is damaged.
            OSError: The derived folder can't be written.
        """
        place = first_to_merge(state.parts, are_large_left=are_large_left)
        if place < len(state.parts):
            return self._merge(state, place, len(state.parts))
        overdue = self._first_overdue(state)
        return None if overdue is None else self._merge(state, overdue, overdue + 1)

    def _first_overdue(self, state: DerivedState) -> int | None:
        """Return the place of the first part with rows that expired long enough ago to write the others anew."""
        retention = self._settings.retention
        expired = (
            ("facts", "start_unix_ns", state.facts_from_ns, retention.facts_days),
            ("rollup_hours", "hour_unix_ns", state.rollups_from_ns, retention.rollups_days),
        )
        for place, part in enumerate(state.parts):
            for table, column, from_ns, days in expired:
                oldest = smallest_value(self._folder.path / part.files[table], column) if from_ns else None
                if oldest is not None and oldest < from_ns - deletion_delay_ns(days):
                    return place
        return None

    def publish_merged(self, merged: Merged) -> bool:
        """Publish the newest state with a merged part in place of its parts; tell whether it still had these.

        Raises:
            OSError: The derived folder can't be written.
        """
        while True:
            step = with_merged(self._folder.newest(), merged)
            if step is None:
                self._folder.discard(sorted(merged.part.files.values()))
                return False
            self._folder.release(name for part in merged.parts for name in part.files.values())
            if self._folder.publish(step):
                return True

    def _merge(self, state: DerivedState, first: int, end: int) -> Merged:
        """Make one part of those from the place `first` to before `end`, without what has expired."""
        merged = replace(state, parts=state.parts[first:end])
        with Engine(self._limits) as engine:
            open_parts(engine, self._folder, merged)
            engine.table("new_superseded", "merged_superseded_v1", {"is_whole": first == 0})
            leave_out_expired(engine, self._folder, merged)
            for table in ROW_TABLES:
                engine.view(f"new_{table}", f"live_{table}_v1")  # no table: these rows may not fit into memory
            sum_up(engine, has_expired=state.rollups_from_day > 0)
            part = self._write(engine, merged.parts[-1].revision)
        return Merged(parts=merged.parts, part=part)


def deletion_delay_ns(days: float | None) -> int:
    """Return how long rows that don't count any more stay in their files, ns, of those that are kept for some `days`.

    To delete a day's rows, all of a part are written anew: done every day, that would write each row once a day.
    """
    most = _MOST_DELETION_DELAY_DAYS if days is None else min(int(days // 10), _MOST_DELETION_DELAY_DAYS)
    return most * DAY_NS


def _write_rows(engine: Engine, table: str, path: Path) -> None:
    with closing(engine.session()) as session:
        session.write(f"new_{table}", path)


def _write_keys_of_facts(engine: Engine, path: Path) -> int:
    """Write the keys of the traces of `new_facts`; return how many there are."""
    with closing(engine.session()) as session:
        keys = session.integers("fact_keys_v2")
    write_keys(path, keys)
    return len(keys)


def _extent_of(path: Path, table: LakeTable) -> Extent:
    column = "start_unix_ns" if table is LakeTable.SPANS else "received_unix_ns"
    found = file_statistics(path, column)
    return Extent(rows=found.rows, first_ns=found.smallest, last_ns=found.largest)


def _file_names(state: DerivedState) -> set[str]:
    return {name for part in state.parts for name in part.files.values()}
