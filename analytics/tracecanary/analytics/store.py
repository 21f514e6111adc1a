"""The numbers of a lake: facts and rollups, derived from its segments as they come.

Theory of operation. What is derived stands in immutable files beside the lake (`derived_state`), and follows the lake
step by step: new rows cost in proportion to themselves. A snapshot is a database in memory with views of the files of
one state, and never changes. Asking for a session makes a new snapshot if the lake has changed. Readers of an old
snapshot keep it until they are done, so every answer comes from one consistent state.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_build import Builder
from tracecanary.analytics.derived_files import DERIVED_FOLDER, DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, Listing
from tracecanary.analytics.derived_steps import derive_traces, open_derived
from tracecanary.analytics.engine import Engine, EngineLimits, Row, Session, all_query_texts, refuse_damaged_content
from tracecanary.analytics.question import Selection, check_dimensions
from tracecanary.schema import (
    SCHEMA_VERSION,
    FileLake,
    LakeError,
    LakeFiles,
    LakeTable,
    Lease,
    StoreError,
    list_lake_files,
    local_copies,
)
from tracecanary.schema.config import cache_settings, folder_name

__all__ = ["Row", "Session", "Store", "definition", "derived_root", "listing_of"]

# Views on what is kept of each trace.
_KEPT_VIEWS = {
    "rollup_keys": "rollup_keys_sum_v1",
    "rollup_hours": "rollup_hours_sum_v1",
    "trace_facts": "model_traces_v1",
    "trace_evaluations": "judged_outcomes_v1",
    "trace_feedback": "known_feedback_v1",
    "landing_evaluations": "live_judgements_v1",
    "evaluations": "evaluations_v1",
}
# Derivation beside queries of the service: enough for a batch, and far from what a machine of today has.
BUILD_MEMORY_BYTES = 3 * 1024**3
# Each finds the files of another compaction; more in a row than these are no coincidence.
_TRIES = 5


class Store:
    """The numbers of one lake.

    Args:
        lake: Where the lake is; an empty one has no rows.
        settings: What facts depend on beside the lake, such as prices.
    """

    def __init__(self, lake: FileLake, settings: DerivationSettings | None = None) -> None:
        self.lake = lake
        self._settings = settings or DerivationSettings()
        self._copies = local_copies(lake)
        # Guards the fields below, and lets one thread at a time derive what is new.
        self._lock = threading.Lock()
        self._listing: Listing | None = None
        self._snapshot: Engine | None = None
        self._state = DerivedState()
        self._folder: DerivedFolder | None = None
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session on the lake as it is now.

        Raises:
            LakeError: The lake can't be listed, or a file not be fetched.
            StoreError: A segment is damaged, or newer than this version reads.
        """
        session = self._current_snapshot().session()
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
        with self._lock:
            wide = self._state.wide_dimensions
        check_dimensions(selection, declared=declared, wide=wide)

    @contextmanager
    def spans_session(self) -> Iterator[Session]:
        """Open a session on the lake's own spans alone, as `spans`: reads every file, so for rare questions.

        Raises:
            LakeError, StoreError: As for `session`.
        """
        with self.session(), self._lock:
            state = self._state
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
        with self.session() as session:
            kept = session.rows("traces_of_v1", {"trace_ids": list(trace_ids)})
        with self._lock:
            folder, state = self._folder, self._state
        if folder is None:
            raise StoreError("no snapshot was made")
        ranges = [(row["first_span_ns"], row["last_span_ns"]) for row in kept if row["first_span_ns"] is not None]
        spans = state.inputs.get(LakeTable.SPANS, {})
        lease = self._copies.lease([name for name, extent in spans.items() if extent.meets(ranges)])
        with closing(lease), Engine() as engine:
            open_derived(engine, folder, state)
            derive_traces(engine, trace_ids, self._settings, spans=lease.paths)
            yield engine

    def _current_snapshot(self) -> Engine:
        with self._lock:
            for tries_left in reversed(range(_TRIES)):
                listing = listing_of(list_lake_files(self.lake))
                if self._snapshot is not None and listing == self._listing and self._is_kept():
                    return self._snapshot
                try:
                    self._snapshot = self._new_snapshot(listing)
                except (StoreError, LakeError):
                    # Swept by a compaction since they were listed, which takes a reader slower than its grace period.
                    if tries_left == 0 or listing_of(list_lake_files(self.lake)) == listing:
                        raise
                else:
                    self._listing = listing
                    return self._snapshot
        raise AssertionError("unreachable: the last try returns or raises")

    def _is_kept(self) -> bool:
        return self._folder is not None and self._folder.holds(self._state)

    def _new_snapshot(self, listing: Listing) -> Engine:
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
            self._state = state
            return _open_snapshot(folder, state)
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
