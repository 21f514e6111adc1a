"""What is known of a lake as it was at one moment: a database in memory with views of the files of one derived state.

It never changes but for two things: when the lake was looked at last, and rollups, which the first question reads.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tracecanary.analytics.derived_damage import naming_damage
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, Listing, Part
from tracecanary.analytics.derived_tables import open_derived, open_expiry
from tracecanary.analytics.engine import Engine, Session
from tracecanary.analytics.rollup_arrays import PartRollups
from tracecanary.analytics.rollup_loading import LakeRollups, load_lake, load_part
from tracecanary.schema import MANIFEST_FOLDER, FileLake, LakeTable, StoreError, landing_folder

# Views on what is kept of each trace.
_KEPT_VIEWS = {
    "rollup_hours": "rollup_hours_sum_v1",
    "trace_facts": "model_traces_v1",
    "trace_evaluations": "judged_outcomes_v1",
    "trace_feedback": "known_feedback_v1",
    "landing_evaluations": "live_judgements_v1",
    "evaluations": "evaluations_v1",
}
# How long times of folders are trusted: those of a network's file system may lag behind.
_GLANCES_FOR_S = 2.0
_TICK_NS = 100_000_000


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
class KnownLake:
    """A lake at one moment. `seen` moves on while the lake does not change; `number` no other of its store has."""

    engine: Engine
    folder: DerivedFolder
    state: DerivedState
    listing: Listing
    seen: Seen
    number: int
    known_parts: dict[tuple[str, int], PartRollups]
    # The first days, since the epoch, of which facts and rollups were to be kept; None for ever.
    kept_from_days: tuple[int | None, int | None]
    # Guards `loaded`: rollups are read when the first question comes.
    loading: threading.Lock = field(default_factory=threading.Lock)
    loaded: LakeRollups | None = None

    def is_unchanged(self, lake: FileLake) -> bool:
        """Whether a glance at the folders tells that nothing came since, which costs less than to list the files."""
        seen = self.seen
        if seen.changed_ns is None or seen.age_s() > _GLANCES_FOR_S:
            return False
        return Seen.now(lake, self.folder).changed_ns == seen.changed_ns

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session; where a query fails, the files are looked at, and by who asks next the lake is.

        Raises:
            StoreError: A query failed.
        """
        try:
            with naming_damage(self.folder, self.state), closing(self.engine.session()) as session:
                yield session
        except StoreError:
            self.seen = Seen(monotonic_s=-math.inf, changed_ns=None)
            raise

    def rollups(self) -> LakeRollups:
        """Return the rollups, of most parts as an earlier moment's questions have read them."""
        with self.loading:
            if self.loaded is None:
                # Of days that have expired since, an earlier moment's questions have read the rollups.
                parts = {(part.files["facts"], self.state.rollups_from_day): part for part in self.state.parts}
                loaded = {name: self.known_parts.get(name) or self._part(part) for name, part in parts.items()}
                self.known_parts.clear()
                self.known_parts.update(loaded)
                with closing(self.engine.session()) as session:
                    self.loaded = load_lake(
                        session,
                        list(loaded.values()),
                        facts_from_ns=self.state.facts_from_ns,
                        rollups_from_ns=self.state.rollups_from_ns,
                        missing_before_ns=self.state.missing_before_ns,
                        left_in=sorted(self.state.left_in),
                    )
            return self.loaded

    def _part(self, part: Part) -> PartRollups:
        with Engine() as engine:
            open_derived(engine, self.folder, replace(self.state, parts=(part,)))
            return load_part(engine)


def open_state(folder: DerivedFolder, state: DerivedState) -> Engine:
    """Return an engine with views of everything derived, as questions read it."""
    engine = Engine()
    try:
        open_derived(engine, folder, state)
        open_expiry(engine, state)
        # A table: small, and every question reads it.
        engine.table("rollup_keys", "rollup_keys_sum_v1")
        for view, query in _KEPT_VIEWS.items():
            engine.view(view, query)
    except StoreError:
        engine.close()
        raise
    return engine
