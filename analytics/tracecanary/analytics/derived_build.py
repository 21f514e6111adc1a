"""Bringing what is derived from a lake up to date, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_keys import KEYS_TABLE, write_keys
from tracecanary.analytics.derived_state import (
    DerivedState,
    Difference,
    Extent,
    Listing,
    Part,
    can_follow,
    difference,
    first_to_merge,
    has_lost_judgements,
    kept_from_ns,
    merged_ranges,
    newly_expired,
)
from tracecanary.analytics.derived_steps import (
    DERIVED_TABLES,
    ROW_TABLES,
    SUM_TABLES,
    KeptRows,
    derive_facts,
    find_dirty,
    open_derived,
    open_known,
    open_known_rows,
    open_new_rows,
    parts_to_open,
    rollup_query,
    wide_dimensions,
)
from tracecanary.analytics.engine import Engine, EngineLimits, file_statistics
from tracecanary.schema import LakeTable

# Spans derived at once: what bounds the memory of building a large lake from nothing.
BATCH_SPANS = 4_000_000
_ALL_TIME = (-(2**63), 2**63 - 1)
_SEARCH_GAP_NS = 60_000_000_000


# By table, the extents of files by their names.
Extents = Mapping[LakeTable, Mapping[str, Extent]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Files whose rows are applied together.

    Attributes:
        spans: Files of spans.
        evaluations: Files of evaluations.
        traces_from: Ranges of time, ns since the epoch, whose traces are derived again, too.
        judged_before: Traces with judgements received before are judged again, too, ns since the epoch.
    """

    spans: tuple[str, ...] = ()
    evaluations: tuple[str, ...] = ()
    traces_from: tuple[tuple[int, int], ...] = ()
    judged_before: int | None = None


class Builder:
    """Brings the derived state of one lake up to date.

    Args:
        folder: Where derived files stand.
        fetch: Gives local paths of files of the lake, in the order of their names.
        limits: What deriving may take of the machine.
        settings: What facts depend on beside the lake.
        batch_spans: Spans derived at once.
    """

    def __init__(
        self,
        folder: DerivedFolder,
        fetch: Callable[[Sequence[str]], Sequence[Path]],
        limits: EngineLimits | None = None,
        *,
        settings: DerivationSettings | None = None,
        batch_spans: int = BATCH_SPANS,
    ) -> None:
        self._folder = folder
        self._fetch = fetch
        self._limits = limits
        self._settings = settings or DerivationSettings()
        self._batch_spans = batch_spans

    def advance(self, state: DerivedState, listing: Listing) -> DerivedState:
        """Return the state that has everything of `listing`, publishing each step; `state` itself if nothing is new.

        When another process is faster, its states are gone on from.

        Raises:
            StoreError: A file of the lake is damaged, or newer than this version reads.
            OSError: The derived folder can't be written.
        """
        while True:
            found = difference(state, listing)
            gone = found.vanished.get(LakeTable.EVALUATIONS, ())
            if has_lost_judgements(state, listing, gone) or not can_follow(state, listing):  # begin anew
                self._folder.release(_file_names(state))
                state = replace(self._emptied(state, listing), revision=state.revision)
                found = difference(state, listing)
            step = self._next_step(state, listing, found)
            if step is None:
                return state
            self._folder.release(_file_names(state) - _file_names(step))
            if self._folder.publish(step):
                state = step
            else:
                self._folder.discard(sorted(_file_names(step) - _file_names(state)))
                state = self._folder.newest()

    def _next_step(self, state: DerivedState, listing: Listing, found: Difference) -> DerivedState | None:
        is_expired = any(newly_expired(state, listing, table) is not None for table in LakeTable)
        if found.has_unread or found.has_vanished or is_expired or not state.parts:
            return self._apply(state, listing, found)
        if found.rewritten:
            return self._following(state, listing, self._extents(state, listing), found, Batch())
        place = first_to_merge(state.parts)
        return self._merge(state, place) if place < len(state.parts) else None

    def _emptied(
        self, state: DerivedState, listing: Listing, *, wide_dimensions: frozenset[str] = frozenset()
    ) -> DerivedState:
        """Return the state after `state` from which everything is derived anew."""
        return DerivedState(
            revision=state.revision + 1,
            manifest=listing.manifest,
            kept_from_hour=listing.kept_from_hour,
            wide_dimensions=wide_dimensions,
        )

    def _extents(self, state: DerivedState, listing: Listing) -> Extents:
        """Return the extents of every file, reading the footers of those that are new."""
        extents: dict[LakeTable, dict[str, Extent]] = {}
        for table, names in listing.files.items():
            known = state.inputs.get(table, {})
            new = [name for name in names if name not in known]
            read = {name: _extent_of(path, table) for name, path in zip(new, self._fetch(new), strict=True)}
            extents[table] = {name: known.get(name) or read[name] for name in names}
        return extents

    def _next_batch(self, found: Difference, extents: Extents, state: DerivedState, listing: Listing) -> Batch:
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
        touched = [
            _ALL_TIME if one.first_ns is None or one.last_ns is None else (one.first_ns, one.last_ns) for one in gone
        ]
        expired = newly_expired(state, listing, LakeTable.SPANS)
        if expired is not None:
            touched.append((_ALL_TIME[0], expired - 1))
        return Batch(
            spans=tuple(chosen),
            evaluations=tuple(judgements),
            traces_from=tuple(touched),
            judged_before=newly_expired(state, listing, LakeTable.EVALUATIONS),
        )

    def _apply(self, state: DerivedState, listing: Listing, found: Difference) -> DerivedState:
        revision = state.revision + 1
        extents = self._extents(state, listing)
        batch = self._next_batch(found, extents, state, listing)
        with Engine(self._limits) as engine:
            kept = {table: kept_from_ns(listing.kept_from_hour, table) for table in LakeTable}
            for table, names in ((LakeTable.SPANS, batch.spans), (LakeTable.EVALUATIONS, batch.evaluations)):
                open_new_rows(engine, table, self._kept_rows(names, extents[table], kept[table]))
            are_all_open = bool(batch.traces_from) or batch.judged_before is not None
            parts = state.parts if are_all_open else parts_to_open(engine, self._folder, state)
            open_known(engine, self._folder, state, parts)
            self._open_known_spans(engine, found, batch, extents, kept)
            derive_facts(engine, self._settings, revision=revision, without_dimensions=state.wide_dimensions)
            wide = wide_dimensions(engine, state) if self._settings.dimensions else []
            if wide:  # begin anew, without them
                return self._emptied(state, listing, wide_dimensions=state.wide_dimensions.union(wide))
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
            kept_from_hour=listing.kept_from_hour,
            parts=state.parts,
            wide_dimensions=state.wide_dimensions,
        )

    def _kept_rows(self, names: Sequence[str], extents: Mapping[str, Extent], kept_ns: int | None) -> KeptRows:
        """Tell apart files of rows that are all kept, and files of which some rows may have expired."""
        lasting = [name for name in names if kept_ns is None or (extents[name].first_ns or kept_ns - 1) >= kept_ns]
        passing = [name for name in names if name not in lasting]
        return KeptRows(files=self._fetch(lasting), passing_files=self._fetch(passing), kept_from_ns=kept_ns)

    def _open_known_spans(
        self,
        engine: Engine,
        found: Difference,
        batch: Batch,
        extents: Extents,
        kept: Mapping[LakeTable, int | None],
    ) -> None:
        dirty = find_dirty(
            engine,
            touched=batch.traces_from,
            judged_before=batch.judged_before,
            judgements_kept_from_ns=kept[LakeTable.EVALUATIONS],
        )
        ranges = merged_ranges(dirty, gap_ns=_SEARCH_GAP_NS)
        unread = set(found.unread.get(LakeTable.SPANS, ()))
        spans = extents.get(LakeTable.SPANS, {})
        earlier = [name for name, extent in spans.items() if name not in unread and extent.meets(ranges)]
        open_known_rows(engine, spans=self._fetch(earlier), kept_from_ns=kept[LakeTable.SPANS])

    def _write(self, engine: Engine, revision: int) -> Part:
        files: dict[str, str] = {}
        for table in DERIVED_TABLES:
            path = self._folder.new_file(table)
            engine.write(f"new_{table}", path)
            files[table] = path.name
        keys = engine.integers("fact_keys_v1")
        path = self._folder.new_file(KEYS_TABLE, suffix=".npy")
        write_keys(path, keys)
        (found,) = engine.rows("by_response_v1")
        return Part(
            revision=revision,
            traces=len(keys),
            files={**files, KEYS_TABLE: path.name},
            by_response=found["judgements"],
        )

    def _merge(self, state: DerivedState, place: int) -> DerivedState:
        """Make one part of those from `place` on."""
        merged = replace(state, parts=state.parts[place:])
        with Engine(self._limits) as engine:
            open_derived(engine, self._folder, merged)
            for table in ROW_TABLES:
                engine.view(f"new_{table}", f"live_{table}_v1")  # no table: these rows may not fit into memory
            engine.table("new_superseded", "merged_superseded_v1", {"is_whole": place == 0})
            for table in SUM_TABLES:
                engine.table(f"new_{table}", rollup_query(f"{table}_sum"))
            part = self._write(engine, state.revision + 1)
        return replace(state, revision=state.revision + 1, parts=(*state.parts[:place], part))


def _extent_of(path: Path, table: LakeTable) -> Extent:
    column = "start_unix_ns" if table is LakeTable.SPANS else "received_unix_ns"
    found = file_statistics(path, column)
    return Extent(rows=found.rows, first_ns=found.smallest, last_ns=found.largest)


def _file_names(state: DerivedState) -> set[str]:
    return {name for part in state.parts for name in part.files.values()}
