"""Deriving again what is computed from a lake's spans and evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tracecanary.analytics.config import DerivationSettings, wall_clock_ms
from tracecanary.analytics.derived_files import derived_root, forget_derived, known_states
from tracecanary.analytics.derived_state import kept_from_ns
from tracecanary.analytics.derived_steps import open_retention
from tracecanary.analytics.derived_tables import open_derived
from tracecanary.analytics.engine import Engine
from tracecanary.analytics.store import Store
from tracecanary.schema import ConfigurationError, FileLake, LakeError


def rebuild_derived_state(
    lake: FileLake,
    settings: DerivationSettings | None = None,
    *,
    may_drop_expired: bool = False,
    clock_ms: Callable[[], int] = wall_clock_ms,
) -> int:
    """Delete everything derived, build it again from the spans, and return the number of arms (models) that are there.

    Raises:
        ConfigurationError: Facts would be lost that have outlived their spans, or rollups that have outlived their
            facts, unless they `may_drop_expired`.
        LakeError: The lake can't be read, or its derived files not be deleted.
        StoreError: A segment is damaged, or newer than this version reads.
    """
    root = derived_root(lake)
    outlived = () if may_drop_expired else (_outlived_facts(root), _outlived_rollups(root))
    told = [what for what in outlived if what]
    if told:
        problem = f"{', and '.join(told)}, and can't be computed again"
        raise ConfigurationError([f"below {root}, {problem}. Give --drop-expired to lose them"])
    try:
        forget_derived(root)
    except OSError as error:
        raise LakeError(f"can't delete {root}: {error}. Check its rights.") from error
    with Store(lake, settings, clock_ms=clock_ms).session() as session:
        return len(session.rows("arms_v1", {"arm_by": "model"}))


def _outlived_facts(root: Path) -> str | None:
    outlived = outlived_traces(root)
    return f"facts of {outlived:,} traces have outlived their spans" if outlived else None


def _outlived_rollups(root: Path) -> str | None:
    traces = rolled_up_traces(root)
    return f"rollups of {traces:,} traces have outlived their facts" if traces else None


def outlived_traces(root: Path) -> int:
    """Return how many traces have outlived their spans, or the first of them, in the definition that has most of them.

    Raises:
        StoreError: A derived file is damaged.
    """
    counts = [0]
    for folder, state in known_states(root):
        kept = kept_from_ns(state.kept_from_hour)
        if kept and state.parts:
            with Engine() as engine:
                open_derived(engine, folder, state)
                open_retention(engine, kept)
                engine.table("outlived_traces", "outlived_traces_v1")
                counts.append(engine.count("outlived_traces"))
    return max(counts)


def rolled_up_traces(root: Path) -> int:
    """Return how many traces are known by rollups alone, in the definition that has most of them.

    Raises:
        StoreError: A derived file is damaged.
    """
    counts = [0]
    for folder, state in known_states(root):
        if state.facts_from_day and state.parts:
            with Engine() as engine:
                open_derived(engine, folder, state)
                rows = engine.rows("hours_of_keys_v1")
                counts.append(sum(row["traces"] for row in rows if row["hour_unix_ns"] < state.facts_from_ns))
    return max(counts)
