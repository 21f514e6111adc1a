"""Deriving again what is computed from a lake's spans and evaluations."""

from __future__ import annotations

from pathlib import Path

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_files import forget_derived, known_states
from tracecanary.analytics.derived_state import DerivedState, kept_from_ns
from tracecanary.analytics.derived_steps import open_derived, open_retention
from tracecanary.analytics.engine import Engine
from tracecanary.analytics.store import Store, derived_root
from tracecanary.schema import ConfigurationError, FileLake, LakeError


def rebuild_derived_state(
    lake: FileLake, settings: DerivationSettings | None = None, *, may_drop_expired: bool = False
) -> int:
    """Delete everything derived, build it again from the spans, and return the number of arms (models) that are there.

    Raises:
        ConfigurationError: Facts would be lost that have outlived their spans, unless they `may_drop_expired`.
        LakeError: The lake can't be read, or its derived files not be deleted.
        StoreError: A segment is damaged, or newer than this version reads.
    """
    root = derived_root(lake)
    outlived = 0 if may_drop_expired else outlived_traces(root)
    if outlived:
        problem = f"facts of {outlived:,} traces below {root} have outlived their spans, and can't be computed again"
        raise ConfigurationError([f"{problem}. Give --drop-expired to lose them"])
    try:
        forget_derived(root)
    except OSError as error:
        raise LakeError(f"can't delete {root}: {error}. Check its rights.") from error
    with Store(lake, settings).session() as session:
        return len(session.rows("arms_v1", {"arm_by": "model"}))


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
                open_derived(engine, folder, DerivedState(parts=state.parts))
                open_retention(engine, kept)
                engine.table("outlived_traces", "outlived_traces_v1")
                counts.append(engine.count("outlived_traces"))
    return max(counts)
