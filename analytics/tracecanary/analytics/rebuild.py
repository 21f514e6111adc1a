"""What is computed from a lake's spans and evaluations, and can be deleted at any time."""

from __future__ import annotations

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_files import forget_derived
from tracecanary.analytics.store import Store, derived_root
from tracecanary.schema import FileLake, LakeError


def rebuild_derived_state(lake: FileLake, settings: DerivationSettings | None = None) -> int:
    """Delete everything derived, build it again from the spans, and return the number of arms (models) that are there.

    Raises:
        LakeError: The lake can't be read, or its derived files not be deleted.
        StoreError: A segment is damaged, or newer than this version reads.
    """
    root = derived_root(lake)
    try:
        forget_derived(root)
    except OSError as error:
        raise LakeError(f"can't delete {root}: {error}. Check its rights.") from error
    with Store(lake, settings).session() as session:
        return len(session.rows("arms_v1", {"arm_by": "model"}))
