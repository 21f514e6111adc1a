"""What is computed from a lake's spans and evaluations, and can be deleted at any time."""

from __future__ import annotations

import shutil
from pathlib import Path

from tracecanary.analytics.store import Store, derived_root
from tracecanary.schema import FileLake, LakeError


def rebuild_derived_state(lake: FileLake) -> int:
    """Delete everything derived, build it again from the spans, and return the number of arms (models) that are there.

    Raises:
        LakeError: The lake can't be read, or its derived files not be deleted.
        StoreError: A segment is damaged, or newer than this version reads.
    """
    _delete(derived_root(lake))
    with Store(lake).session() as session:
        return len(session.rows("arms_v1", {"arm_by": "model"}))


def _delete(folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise LakeError(f"can't delete {folder}: {error}. Check its rights.") from error
