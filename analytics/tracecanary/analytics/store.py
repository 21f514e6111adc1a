"""The numbers of a lake: facts and rollups, derived from its segments as they come.

Theory of operation. What is derived stands in immutable files beside the lake (`derived_state`), and follows the lake
step by step: new rows cost in proportion to themselves. What is known at one moment (`known_lake`) never changes, so
every answer comes from one consistent state, and readers of an old one keep it until they are done. Asking for a
session looks for changes: the thread that finds some derives what is new, and others go on with what was known before
meanwhile if that is recent. Where somebody tends the store (`tended`), readers find most of that done: small parts are
merged, and changes looked for, beside them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tracecanary.analytics.answer_cache import AnswerCache
from tracecanary.analytics.config import DerivationSettings, wall_clock_ms
from tracecanary.analytics.derived_build import Builder
from tracecanary.analytics.derived_damage import naming_damage, refuse_damaged_derived
from tracecanary.analytics.derived_definition import definition
from tracecanary.analytics.derived_expiry import expire_others
from tracecanary.analytics.derived_files import DerivedFolder, derived_root
from tracecanary.analytics.derived_state import Listing, listing_of
from tracecanary.analytics.derived_steps import derive_traces
from tracecanary.analytics.derived_tables import open_derived
from tracecanary.analytics.engine import Engine, EngineLimits, Row, Session
from tracecanary.analytics.known_lake import KnownLake, Seen, open_state
from tracecanary.analytics.metrics import catalogue
from tracecanary.analytics.parquet_files import refuse_damaged_content
from tracecanary.analytics.question import Selection, check_dimensions, time_of
from tracecanary.analytics.rollup_arrays import PartRollups
from tracecanary.analytics.rollup_loading import LakeRollups
from tracecanary.schema import (
    FileLake,
    LakeError,
    LakeTable,
    Lease,
    StoreError,
    list_lake_files,
    local_copies,
)

__all__ = ["Row", "Session", "Snapshot", "Store"]

# Derivation beside queries of the service: enough for a batch, and far from what a machine of today has.
BUILD_MEMORY_BYTES = 3 * 1024**3
# A reader that comes while another one derives what is new gets what was there this long ago, if that is known.
MAX_AGE_S = 2.0
# Of a store that is tended any reader does: new rows are to be seen within 5 s, and some of that goes by before.
_TENDED_AGE_S = 4.0
# How often to look for new rows, from the end of one time to the next: deriving costs some tenths of a second however
# few they are. Whoever must not wait until then looks on his own.
_REST_S, _REST_UNASKED_S = 1.0, 5.0
# One or two MB each, where there are many cohorts.
_MOST_ANSWERS = 32
# Each finds the files of another compaction; more in a row than these are no coincidence.
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One state of a lake: a session on it, its rollups, and a number that no other snapshot of the store has."""

    session: Session
    rollups: LakeRollups
    number: int


class Store:
    """The numbers of one lake.

    Args:
        lake: Where the lake is; an empty one has no rows.
        settings: What facts depend on beside the lake, such as prices, and how long they are kept.
        clock_ms: Gives the present time, ms since the epoch.
    """

    def __init__(
        self,
        lake: FileLake,
        settings: DerivationSettings | None = None,
        *,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self.lake = lake
        self._clock_ms = clock_ms
        # Of comparisons, by their question and the number of the snapshot; the older ones go first.
        self.answers: AnswerCache[Any] = AnswerCache(_MOST_ANSWERS)
        self._settings = settings or DerivationSettings()
        # Every metric of its answers, by the default policy.
        self.metrics = catalogue(self._settings.metrics)
        # Names what facts depend on beside the lake, such as prices: 16 hex digits.
        self.derivation = hashlib.blake2b(self._settings.fingerprint.encode(), digest_size=8).hexdigest()
        self._copies = local_copies(lake)
        # Lets one thread at a time derive what is new. What is made is replaced as a whole, and read without the lock.
        self._lock = threading.Lock()
        self._known: KnownLake | None = None
        self._numbers = 0
        # When somebody asked last, when what was new had been derived, and when parts were merged, monotonic. They only
        # decide how soon that is done again, so any thread may set them.
        self._asked_s = self._derived_s = self._merged_s = 0.0
        self._is_tended = False
        # Rollups of parts by the name of their file and the first day kept: the next snapshot has most of them, too.
        self._known_parts: dict[tuple[str, int], PartRollups] = {}
        self._folder: DerivedFolder | None = None
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session on the lake as it is now.

        Raises:
            LakeError: The lake can't be listed, or a file not be fetched.
            StoreError: A segment is damaged, or newer than this version reads.
        """
        known = self._current()
        with known.session() as session:
            yield session

    def check(self, selection: Selection) -> None:
        """Refuse a selection by dimensions that the lake of the newest session has not.

        Raises:
            InvalidQuestionError: Names the dimension and those there are.
        """
        declared = [dimension.name for dimension in self._settings.dimensions]
        known = self._known
        check_dimensions(selection, declared=declared, wide=known.state.wide_dimensions if known is not None else ())

    @contextmanager
    def spans_session(self) -> Iterator[Session]:
        """Open a session on the lake's own spans alone, as `spans`: reads every file, so for rare questions.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        state = self._current().state
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
        known = self._current()
        folder, state = known.folder, known.state
        with known.session() as session:
            kept = session.rows("traces_of_v1", {"trace_ids": list(trace_ids)})
        ranges = [(row["first_span_ns"], row["last_span_ns"]) for row in kept if row["first_span_ns"] is not None]
        spans = state.inputs.get(LakeTable.SPANS, {})
        lease = self._copies.lease([name for name, extent in spans.items() if extent.meets(ranges)])
        with closing(lease), naming_damage(folder, state), Engine() as engine:
            open_derived(engine, folder, state)
            derive_traces(engine, trace_ids, self._settings, spans=lease.paths)
            yield engine

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Open what is known of the lake as it is now: a session, and the rollups as arrays.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        known = self._current()
        with known.session() as session:
            yield Snapshot(session=session, rollups=known.rollups(), number=known.number)

    def current_snapshot(self) -> int:
        """Return the number of the snapshot of the lake as it is now.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        return self._current().number

    def known_snapshot(self) -> int | None:
        """Return the number of the current snapshot; None unless a glance tells that the lake has nothing newer."""
        self._asked_s = time.monotonic()
        known = self._known
        is_current = known is not None and known.is_unchanged(self.lake) and self._is_of_today(known)
        return known.number if known is not None and is_current else None

    def facts_from(self) -> datetime | None:
        """Return the start of the traces whose facts the newest session has; None where none have expired."""
        known = self._known
        return time_of(known.state.facts_from_ns) if known is not None and known.state.facts_from_day else None

    def refresh(self) -> None:
        """Derive what is in the lake when this is called; sessions opened from then on have it.

        Who calls while another thread is at it waits, and most often finds it done.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        self._derived_since(time.monotonic())

    def expire_others(self) -> None:
        """Delete facts and rollups that are not to be kept from the folders of other definitions, too.

        Raises:
            LakeError: The lake can't be listed, or what is derived not be written.
            StoreError: A derived file is damaged.
        """
        if self._folder is None or self._own_folder is not None:
            return
        try:
            expire_others(
                self._folder,
                listing_of(list_lake_files(self.lake)),
                self._settings.retention,
                limits=lambda folder: _build_limits(folder, threads=1),
                clock_ms=self._clock_ms,
            )
        except OSError as error:
            raise LakeError(f"can't delete what has expired of {self.lake}: {error}. Check the rights.") from error

    @contextmanager
    def tended(self) -> Iterator[None]:
        """Let readers rely on a thread that calls `tend` again and again while the block runs."""
        self._is_tended = True
        try:
            yield
        finally:
            self._is_tended = False

    def tend(self) -> bool:
        """Derive what is new, if it is time, and merge small parts beside readers; return whether it was time.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        now_s = time.monotonic()
        is_asked = now_s - self._asked_s < _REST_UNASKED_S
        is_time = now_s - self._derived_s > (_REST_S if is_asked else _REST_UNASKED_S)
        if is_time:
            self.refresh()
        if self._merged_s < self._derived_s:
            self._merged_s = now_s
            self._merge_parts()
        return is_time

    def _current(self) -> KnownLake:
        self._asked_s = now_s = time.monotonic()
        known = self._known
        is_new = known is not None and (known.is_unchanged(self.lake) or self._is_recent(known))
        if known is not None and is_new and self._is_of_today(known):
            return known
        return self._derived_since(now_s)

    def _is_recent(self, known: KnownLake) -> bool:
        # What another thread derives may lack what this one has just written, so only what is recent will do.
        if self._is_tended:
            return known.seen.age_s() < _TENDED_AGE_S
        return self._lock.locked() and known.seen.age_s() < MAX_AGE_S

    def _derived_since(self, since_s: float) -> KnownLake:
        """Return what is known of the lake as it was looked at after `since_s`, monotonic, or later."""
        with self._lock:
            if self._known is None or self._known.seen.monotonic_s < since_s:
                try:
                    self._known = self._up_to_date()
                finally:
                    self._derived_s = time.monotonic()
            return self._known

    def _up_to_date(self) -> KnownLake:
        for tries_left in reversed(range(_TRIES)):
            seen = Seen.now(self.lake, self._folder)
            listing = listing_of(list_lake_files(self.lake))
            known = self._known
            if known is not None and listing == known.listing and self._is_kept(known):
                known.seen = seen
                return known
            try:
                return self._derived(listing, seen)
            except (StoreError, LakeError):
                # Swept by a compaction since they were listed, which takes a reader slower than its grace period.
                if tries_left == 0 or listing_of(list_lake_files(self.lake)) == listing:
                    raise
        raise AssertionError("unreachable: the last try returns or raises")

    def _merge_parts(self) -> None:
        if self._folder is None:
            return
        builder = self._builder(self._folder, _no_files, threads=1)
        state = self._folder.newest()
        with naming_damage(self._folder, state):
            merged = builder.merged(state)
        if merged is not None:
            with self._lock:  # else a thread that derives may lose to this one, and derive again
                builder.publish_merged(merged)

    def _is_kept(self, known: KnownLake) -> bool:
        if self._folder is None or not self._is_of_today(known):
            return False
        # Of an older state, whose parts were merged since, files are deleted some time later.
        return known.state.revision == self._folder.newest_revision() and self._folder.holds(known.state)

    def _is_of_today(self, known: KnownLake) -> bool:
        """Whether no day of facts or rollups has to expire since."""
        return known.kept_from_days == self._kept_from_days()

    def _kept_from_days(self) -> tuple[int | None, int | None]:
        retention, now_ms = self._settings.retention, self._clock_ms()
        return retention.facts_from_day(now_ms=now_ms), retention.rollups_from_day(now_ms=now_ms)

    def _derived(self, listing: Listing, seen: Seen) -> KnownLake:
        leases: dict[str, Lease] = {}  # held until all is derived

        def fetch(names: Sequence[str]) -> list[Path]:
            missing = [name for name in names if name not in leases]
            fetched = self._copies.lease(missing)
            leases.update(dict.fromkeys(missing, fetched))
            paths.update(zip(missing, fetched.paths, strict=True))
            return [paths[name] for name in names]

        paths: dict[str, Path] = {}
        folder = self._writable_folder()
        try:
            builder = self._builder(folder, fetch, threads=os.cpu_count() or 1)
            kept_from_days = self._kept_from_days()
            state = builder.advance(folder.newest(), listing)
            folder.sweep(state)
            self._numbers += 1
            return KnownLake(
                engine=open_state(folder, state),
                folder=folder,
                state=state,
                listing=listing,
                seen=seen,
                number=self._numbers,
                known_parts=self._known_parts,
                kept_from_days=kept_from_days,
            )
        except StoreError:
            refuse_damaged_content(list(paths.values()))
            refuse_damaged_derived(folder, folder.newest())
            raise
        except OSError as error:
            raise LakeError(
                f"can't keep what is derived from the lake {self.lake}: {error}. Make room, or check the rights."
            ) from error

    def _builder(
        self, folder: DerivedFolder, fetch: Callable[[Sequence[str]], Sequence[Path]], *, threads: int
    ) -> Builder:
        return Builder(
            folder,
            fetch,
            _build_limits(folder, threads=threads),
            settings=self._settings,
            is_merging=not self._is_tended,
            clock_ms=self._clock_ms,
        )

    def _writable_folder(self) -> DerivedFolder:
        """Return the folder of derived files: the lake's own, a user's for an object store, or else a temporary one."""
        if self._folder is None:
            root = derived_root(self.lake)
            if isinstance(self.lake, Path) and not os.access(root if root.exists() else self.lake, os.W_OK):
                self._own_folder = tempfile.TemporaryDirectory(prefix="tracecanary-")
                root = Path(self._own_folder.name)
            self._folder = DerivedFolder(root, definition(self._settings))
        return self._folder


def _build_limits(folder: DerivedFolder, *, threads: int) -> EngineLimits:
    return EngineLimits(memory_bytes=BUILD_MEMORY_BYTES, threads=threads, spill_folder=folder.path / "spill")


def _no_files(names: Sequence[str]) -> Sequence[Path]:
    raise AssertionError(f"merging reads no file of the lake, but asked for {names}")
