"""The numbers of a lake: facts and rollups, derived from its segments as they come.

Theory of operation. What is derived stands in immutable files beside the lake (`derived_state`), and follows the lake
step by step: new rows cost in proportion to themselves. A snapshot is a database in memory with views of the files of
one state, and never changes. Asking for a session makes a new snapshot if the lake has changed: the thread that finds
it changed makes it, and others go on with the old one meanwhile if that is recent. Readers of an old snapshot keep it
until they are done, so every answer comes from one consistent state.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tracecanary.analytics.answer_cache import AnswerCache
from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_build import Builder
from tracecanary.analytics.derived_files import DERIVED_FOLDER, DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, Listing, Part
from tracecanary.analytics.derived_steps import derive_traces, open_derived
from tracecanary.analytics.engine import Engine, EngineLimits, Row, Session, all_query_texts, refuse_damaged_content
from tracecanary.analytics.question import Selection, check_dimensions
from tracecanary.analytics.rollup_arrays import PartRollups
from tracecanary.analytics.rollup_loading import LakeRollups, load_lake, load_part
from tracecanary.schema import (
    MANIFEST_FOLDER,
    SCHEMA_VERSION,
    FileLake,
    LakeError,
    LakeFiles,
    LakeTable,
    Lease,
    StoreError,
    landing_folder,
    list_lake_files,
    local_copies,
)
from tracecanary.schema.config import cache_settings, folder_name

__all__ = ["Row", "Session", "Store", "definition", "derived_root", "listing_of"]

# Views on what is kept of each trace.
_KEPT_VIEWS = {
    "rollup_hours": "rollup_hours_sum_v1",
    "trace_facts": "model_traces_v1",
    "trace_evaluations": "judged_outcomes_v1",
    "trace_feedback": "known_feedback_v1",
    "landing_evaluations": "live_judgements_v1",
    "evaluations": "evaluations_v1",
}
# Derivation beside queries of the service: enough for a batch, and far from what a machine of today has.
BUILD_MEMORY_BYTES = 3 * 1024**3
# A reader that comes while another one derives what is new gets what was there this long ago, if that is known.
MAX_AGE_S = 2.0
# One or two MB each, where there are many cohorts.
_MOST_ANSWERS = 32
# How long times of folders are trusted: those of a network's file system may lag behind.
_GLANCES_FOR_S = 1.0
_TICK_NS = 100_000_000
# Each finds the files of another compaction; more in a row than these are no coincidence.
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state of a lake: a session on it, its rollups, and a number that no other snapshot of the store has."""

    session: Session
    rollups: LakeRollups
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """When the lake was looked at, and when its folders had changed last; None for a lake that is no folder."""

    monotonic_s: float
    changed_ns: tuple[int, ...] | None

    @classmethod
    def now(cls, lake: FileLake, folder: DerivedFolder | None) -> Seen:
        """Look at the folders now."""
        changed = None
        if isinstance(lake, Path) and folder is not None:
            watched = [*(landing_folder(lake, table) for table in LakeTable), lake / MANIFEST_FOLDER, folder.path]
            changed = tuple(map(_changed_ns, watched))
            # Within a tick of the file system's clock, a change leaves the time as it is.
            if time.time_ns() - max(changed) < _TICK_NS:
                changed = None
        return cls(monotonic_s=time.monotonic(), changed_ns=changed)

    def age_s(self) -> float:
        """Return how long ago that was, s."""
        return time.monotonic() - self.monotonic_s


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0


@dataclass(slots=True, kw_only=True, eq=False)
class _Made:
    """A snapshot. `seen` moves on while the lake does not change; all else stays."""

    engine: Engine
    folder: DerivedFolder
    state: DerivedState
    listing: Listing
    seen: Seen
    number: int
    known_parts: dict[str, PartRollups]
    # Guards `looked_s`, when a caller last had to look closely.
    lock: threading.Lock = field(default_factory=threading.Lock)
    looked_s: float = 0.0
    # Guards `loaded`: rollups are read when the first question comes.
    loading: threading.Lock = field(default_factory=threading.Lock)
    loaded: LakeRollups | None = None

    def is_unchanged(self, lake: FileLake) -> bool:
        """Whether a glance at the folders tells that nothing came since, which costs less than to list the files."""
        seen = self.seen
        if seen.changed_ns is None or seen.age_s() > MAX_AGE_S:
            return False
        if seen.age_s() > _GLANCES_FOR_S and self._is_first_to_look():
            return False
        return Seen.now(lake, self.folder).changed_ns == seen.changed_ns

    def _is_first_to_look(self) -> bool:
        """Whether it is this caller's turn to list the files: one in a while, so that others need not wait for it."""
        with self.lock:
            now_s = time.monotonic()
            is_due = now_s - self.looked_s > _GLANCES_FOR_S / 2
            self.looked_s = now_s if is_due else self.looked_s
            return is_due

    def rollups(self) -> LakeRollups:
        """Return the rollups, of most parts as an earlier snapshot has read them."""
        with self.loading:
            if self.loaded is None:
                parts = {part.files["facts"]: part for part in self.state.parts}
                loaded = {name: self.known_parts.get(name) or self._part(part) for name, part in parts.items()}
                self.known_parts.clear()
                self.known_parts.update(loaded)
                with closing(self.engine.session()) as session:
                    self.loaded = load_lake(session, list(loaded.values()))
            return self.loaded

    def _part(self, part: Part) -> PartRollups:
        with Engine() as engine:
            open_derived(engine, self.folder, replace(self.state, parts=(part,)))
            return load_part(engine)


class Store:
    """The numbers of one lake.

    Args:
        lake: Where the lake is; an empty one has no rows.
        settings: What facts depend on beside the lake, such as prices.
    """

    def __init__(self, lake: FileLake, settings: DerivationSettings | None = None) -> None:
        self.lake = lake
        # Of comparisons, by their question and the number of the snapshot; the older ones go first.
        self.answers: AnswerCache[Any] = AnswerCache(_MOST_ANSWERS)
        self._settings = settings or DerivationSettings()
        # Names what facts depend on beside the lake, such as prices: 16 hex digits.
        self.derivation = hashlib.blake2b(self._settings.fingerprint.encode(), digest_size=8).hexdigest()
        self._copies = local_copies(lake)
        # Lets one thread at a time derive what is new. What is made is replaced as a whole, and read without the lock.
        self._lock = threading.Lock()
        self._made: _Made | None = None
        self._numbers = 0
        # Rollups of parts by the name of their file: the next snapshot has most of the parts, too.
        self._known_parts: dict[str, PartRollups] = {}
        self._folder: DerivedFolder | None = None
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session on the lake as it is now.

        Raises:
            LakeError: The lake can't be listed, or a file not be fetched.
            StoreError: A segment is damaged, or newer than this version reads.
        """
        session = self._current_snapshot().engine.session()
        try:
            yield session
        finally:
            session.close()

    def check(self, selection: Selection) -> None:
        """Refuse a selection by dimensions that the lake of the newest session has not.

        Raises:
            InvalidQuestionError: Names the dimension and those there are.
        """
        declared = [dimension.name for dimension in self._settings.dimensions]
        made = self._made
        check_dimensions(selection, declared=declared, wide=made.state.wide_dimensions if made is not None else ())

    @contextmanager
    def spans_session(self) -> Iterator[Session]:
        """Open a session on the lake's own spans alone, as `spans`: reads every file, so for rare questions.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        state = self._current_snapshot().state
        lease = self._copies.lease(list(state.inputs.get(LakeTable.SPANS, {})))
        with closing(lease), Engine() as engine:
            engine.lake_view("landing_spans", LakeTable.SPANS, lease.paths)
            engine.view("spans", "spans_v1")
            yield engine

    @contextmanager
    def traces_session(self, trace_ids: Sequence[str]) -> Iterator[Session]:
        """Open a session on a few traces alone: their spans, evaluations and model calls, and what is kept of them.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        made = self._current_snapshot()
        folder, state = made.folder, made.state
        with closing(made.engine.session()) as session:
            kept = session.rows("traces_of_v1", {"trace_ids": list(trace_ids)})
        ranges = [(row["first_span_ns"], row["last_span_ns"]) for row in kept if row["first_span_ns"] is not None]
        spans = state.inputs.get(LakeTable.SPANS, {})
        lease = self._copies.lease([name for name, extent in spans.items() if extent.meets(ranges)])
        with closing(lease), Engine() as engine:
            open_derived(engine, folder, state)
            derive_traces(engine, trace_ids, self._settings, spans=lease.paths)
            yield engine

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open what is known of the lake as it is now: a session, and the rollups as arrays.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        made = self._current_snapshot()
        session = made.engine.session()
        try:
            yield Snapshot(session=session, rollups=made.rollups(), number=made.number)
        finally:
            session.close()

    def current_snapshot(self) -> int:
        """Return the number of the snapshot of the lake as it is now.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        return self._current_snapshot().number

    def known_snapshot(self) -> int | None:
        """Return the number of the current snapshot; None unless a glance tells that the lake has nothing newer."""
        made = self._made
        return made.number if made is not None and made.is_unchanged(self.lake) else None

    def _current_snapshot(self) -> _Made:
        current = self._made
        if current is not None and current.is_unchanged(self.lake):
            return current
        if not self._lock.acquire(blocking=False):
            # Another thread brings things up to date. It began to look when this one may not have written yet, so
            # only what is recent anyway will do.
            current = self._made
            if current is not None and current.seen.age_s() < MAX_AGE_S:
                return current
            self._lock.acquire()
        try:
            return self._up_to_date()
        finally:
            self._lock.release()

    def _up_to_date(self) -> _Made:
        for tries_left in reversed(range(_TRIES)):
            seen = Seen.now(self.lake, self._folder)
            listing = listing_of(list_lake_files(self.lake))
            if self._made is not None and listing == self._made.listing and self._is_kept(self._made):
                self._made.seen = seen
                return self._made
            try:
                self._made = self._new_snapshot(listing, seen)
            except (StoreError, LakeError):
                # Swept by a compaction since they were listed, which takes a reader slower than its grace period.
                if tries_left == 0 or listing_of(list_lake_files(self.lake)) == listing:
                    raise
            else:
                return self._made
        raise AssertionError("unreachable: the last try returns or raises")

    def _is_kept(self, made: _Made) -> bool:
        return self._folder is not None and self._folder.holds(made.state)

    def _new_snapshot(self, listing: Listing, seen: Seen) -> _Made:
        leases: dict[str, Lease] = {}  # held until all is derived

        def fetch(names: Sequence[str]) -> list[Path]:
            missing = [name for name in names if name not in leases]
            fetched = self._copies.lease(missing)
            leases.update(dict.fromkeys(missing, fetched))
            paths.update(zip(missing, fetched.paths, strict=True))
            return [paths[name] for name in names]

        paths: dict[str, Path] = {}
        try:
            folder = self._writable_folder()
            limits = EngineLimits(
                memory_bytes=BUILD_MEMORY_BYTES, threads=os.cpu_count() or 1, spill_folder=folder.path / "spill"
            )
            state = Builder(folder, fetch, limits, settings=self._settings).advance(folder.newest(), listing)
            folder.sweep(state)
            self._numbers += 1
            engine = _open_snapshot(folder, state)
            return _Made(
                engine=engine,
                folder=folder,
                state=state,
                listing=listing,
                seen=seen,
                number=self._numbers,
                known_parts=self._known_parts,
            )
        except StoreError:
            refuse_damaged_content(list(paths.values()))
            raise
        except OSError as error:
            raise LakeError(
                f"can't keep what is derived from the lake {self.lake}: {error}. Make room, or check the rights."
            ) from error

    def _writable_folder(self) -> DerivedFolder:
        """Return the folder of derived files: the lake's own, a user's for an object store, or else a temporary one."""
        if self._folder is None:
            root = derived_root(self.lake)
            if isinstance(self.lake, Path) and not os.access(root if root.exists() else self.lake, os.W_OK):
                self._own_folder = tempfile.TemporaryDirectory(prefix="tracecanary-")
                root = Path(self._own_folder.name)
            self._folder = DerivedFolder(root, definition(self._settings))
        return self._folder


def derived_root(lake: FileLake) -> Path:
    """Return the folder of what is derived from a lake that can be written: it may be deleted at any time."""
    if isinstance(lake, Path):
        return lake / DERIVED_FOLDER
    return cache_settings().folder / DERIVED_FOLDER / folder_name(lake)


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


def _open_snapshot(folder: DerivedFolder, state: DerivedState) -> Engine:
    engine = Engine()
    try:
        open_derived(engine, folder, state)
        # A table: small, and every question reads it.
        engine.table("rollup_keys", "rollup_keys_sum_v1")
        for view, query in _KEPT_VIEWS.items():
            engine.view(view, query)
    except StoreError:
        engine.close()
        raise
    return engine


def definition(settings: DerivationSettings) -> str:
    """Name what decides derived rows: a change of a query, of the columns or of settings derives everything again."""
    texts = [str(SCHEMA_VERSION), *all_query_texts(), settings.fingerprint]
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()
