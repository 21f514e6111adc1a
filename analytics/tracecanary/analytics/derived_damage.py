"""Derived files that can't be read: named, and taken away where they can be derived again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_keys import KEYS_TABLE
from tracecanary.analytics.derived_state import DerivedState
from tracecanary.analytics.parquet_files import refuse_damaged_content
from tracecanary.schema import LakeError, StoreError

_logger = logging.getLogger(__name__)


def refuse_damaged_derived(folder: DerivedFolder, state: DerivedState) -> None:
    """Read every file of a state; take away one that is damaged, so that everything is derived again, and refuse it.

    Costly, so only after a query failed. Where retention has dropped spans, files stay: they know what nothing else
    does.

    Raises:
        StoreError: Names the damaged file, and what to do.
    """
    for part in state.parts:
        for table, name in part.files.items():
            path = folder.path / name
            problem = _problem_of(path, is_keys=table == KEYS_TABLE)
            if problem is None:
                continue
            if state.kept_from_hour:
                raise StoreError(
                    f"the derived file {path} is damaged: {problem}. It may hold facts of spans that have expired: "
                    "restore the folder from a backup, or go on without them: tracecanary rebuild --drop-expired"
                )
            path.unlink(missing_ok=True)
            _logger.warning("the derived file %s is damaged: %s. It is derived again", path, problem)
            raise StoreError(
                f"the derived file {path} was damaged: {problem}. It is taken away, and derived again: ask again"
            )


@contextmanager
def naming_damage(folder: DerivedFolder, state: DerivedState) -> Iterator[None]:
    """Look for damaged files of a state where a query of them fails: the engine does not always name them."""
    try:
        yield
    except StoreError:
        refuse_damaged_derived(folder, state)
        raise


def _problem_of(path: Path, *, is_keys: bool) -> str | None:
    if not path.exists():
        return None  # swept, or taken away by another process: whoever asks next derives it again
    try:
        if is_keys:
            np.load(path, mmap_mode="r")
        else:
            refuse_damaged_content([path])
    except LakeError:
        return None
    except (StoreError, ValueError, EOFError, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, OSError) and cause.errno is not None:
            return None  # the machine's, such as too many open files: it tells nothing of what the file holds
        return str(cause).strip()
    return None
