"""An engine in the midst of deriving: every table and view that the deriving queries read, for tests of single ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_state import DerivedState
from tracecanary.analytics.derived_steps import (
    derive_calls,
    derive_facts,
    find_dirty,
    open_known_rows,
    open_new_rows,
    open_retention,
    wide_dimensions,
)
from tracecanary.analytics.derived_tables import DERIVED_TABLES, open_derived
from tracecanary.analytics.engine import Engine
from tracecanary.schema import LakeTable, list_lake_files

# Traces that golden cases compare the trajectories of.
_COMPARED = {"trace_ids": ["t1", "t2"], "arms": ["base", "candidate"], "cohorts": ["a", "a"], "failed": [True, False]}
# In golden cases, what is older has expired by the end.
_EXPIRED_NS = 1_000 * 10**9


@contextmanager
def compacting_engine(lake: Path) -> Iterator[Engine]:
    """Open an engine that sees the files of `lake` as compaction does."""
    files = list_lake_files(lake)
    with Engine() as engine:
        for table in LakeTable:
            engine.lake_view(f"landing_{table}", table, [lake / name for name in files.names(table)])
        yield engine


@contextmanager
def deriving_engine(
    lake: Path, *, is_thorough: bool = False, closely: bool = True, settings: DerivationSettings | None = None
) -> Iterator[Engine]:
    """Derive everything from the files of `lake`, and keep the engine open.

    The files are new rows of a lake that had none; what is derived stands beside them as stored before, too.
    `closely` looks closely at every trace, and `is_thorough` leaves `attempts` and `calls` of all of them behind, not
    of the intricate ones only.
    """
    settings = settings or DerivationSettings()
    files = list_lake_files(lake)
    spans, evaluations = (
        [lake / name for name in files.names(table)] for table in (LakeTable.SPANS, LakeTable.EVALUATIONS)
    )
    with Engine() as engine:
        open_derived(engine, DerivedFolder(lake / "derived", "none"), DerivedState())
        open_new_rows(engine, spans=spans, evaluations=evaluations)
        open_retention(engine, {})
        find_dirty(engine)
        open_known_rows(engine, spans=[])
        engine.lake_view("earlier_spans", LakeTable.SPANS, spans)
        derive_facts(engine, settings, revision=1, closely=closely)
        wide_dimensions(engine, DerivedState())
        if is_thorough:
            engine.table("intricate_traces", "dirty_traces_v1")
            derive_calls(engine)
        engine.table("spans_above_tokens", "spans_above_tokens_v1")
        engine.table("compared_traces", "compared_traces_v1", _COMPARED)
        for table in DERIVED_TABLES:
            engine.forget(f"stored_{table}")
            engine.union(f"stored_{table}", [f"new_{table}"])
        open_retention(engine, dict.fromkeys(LakeTable, _EXPIRED_NS))
        engine.table("final_traces", "final_traces_v1")
        engine.table("outlived_traces", "outlived_traces_v1")
        engine.table(
            "expired_traces", "expired_traces_v1", dict.fromkeys(("facts_from_ns", "spans_from_ns"), _EXPIRED_NS)
        )
        yield engine
