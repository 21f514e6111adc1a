"""The files of a lake's derived state: one folder a definition, states that never change, and no lock.

A state is published under a number that must be free, so of two processes that follow the same state one loses, and
goes on from what the other has made. Everything here can be deleted at any time, and is then derived again, but for
what has outlived the spans that it was derived from.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tracecanary.analytics.derived_state import DerivedState, state_from_json, state_to_json
from tracecanary.schema import FileLake, StoreError
from tracecanary.schema.config import cache_settings, folder_name

_FOLDER = "derived"
_STATE_PREFIX, _STATE_SUFFIX = "state-", ".json"
_DIGITS = 12
# Of other prices, cohort dimensions or versions of tracecanary. Whoever asks by them again derives them again.
FORGOTTEN_AFTER_S = 2 * 24 * 3600.0
# A reader opens the files of a state within this time after it has read the state.
SWEEP_AFTER_S = 15 * 60.0
_KEPT_STATES = 2


def derived_root(lake: FileLake) -> Path:
    """Return the folder of what is derived from a lake that can be written: it may be deleted at any time."""
    if isinstance(lake, Path):
        return lake / _FOLDER
    return cache_settings().folder / _FOLDER / folder_name(lake)


class DerivedFolder:
    """The files derived under one definition.

    Args:
        root: Folder of all definitions.
        definition: Digest of everything that decides what the derived rows are.
    """

    def __init__(self, root: Path, definition: str) -> None:
        self.path = root / definition

    def holds(self, state: DerivedState) -> bool:
        """Whether all files of a state are there: everything derived may be deleted at any time."""
        return all((self.path / name).exists() for part in state.parts for name in part.files.values())

    def newest(self) -> DerivedState:
        """Return the newest state that can be read; an empty one if there is none.

        Its revision is that of the newest file, read or not: the next state must get a number that is free.
        """
        numbers = sorted(self._numbers(), reverse=True)
        for number in numbers:
            try:
                state = state_from_json(self._state_path(number).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # deleted meanwhile, or damaged: an older one is as right, and has more to catch up with
            if self.holds(state):
                return replace(state, revision=numbers[0])
        return DerivedState(revision=max(numbers, default=0))

    def newest_revision(self) -> int:
        """Return the revision of the newest state, whether it can be read or not; 0 if there is none."""
        return max(self._numbers(), default=0)

    def publish(self, state: DerivedState) -> bool:
        """Publish a state unless its number is taken; tell whether it was.

        Raises:
            OSError: The folder can't be written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / f".{uuid.uuid4().hex}.tmp"
        draft.write_text(state_to_json(state), encoding="utf-8")
        try:
            os.link(draft, self._state_path(state.revision))
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def new_file(self, table: str, *, suffix: str = ".parquet") -> Path:
        """Return the path of a new file."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path / f"{table}-{uuid.uuid4().hex}{suffix}"

    def release(self, names: Iterable[str]) -> None:
        """Note that a state without these files is about to come: readers of earlier ones have until the sweep."""
        for name in names:
            with contextlib.suppress(OSError):  # another process has swept it
                os.utime(self.path / name)

    def sweep(self, state: DerivedState, *, now: float | None = None) -> None:
        """Delete what no reader of `state` or of a recent one needs, and definitions that nobody has used for long."""
        now = time.time() if now is None else now
        self._forget_others(state, now)
        self.sweep_files(state, now=now)

    def sweep_files(self, state: DerivedState, *, now: float | None = None) -> None:
        """Delete what no reader of `state` or of a recent one needs."""
        now = time.time() if now is None else now
        kept = {name for part in state.parts for name in part.files.values()}
        numbers = sorted(self._numbers(), reverse=True)[:_KEPT_STATES]
        kept |= {self._state_path(number).name for number in numbers}
        for path in self._all_files():
            with contextlib.suppress(OSError):  # another process sweeps, too
                if path.name not in kept and path.stat().st_mtime < now - SWEEP_AFTER_S:
                    path.unlink()

    @contextlib.contextmanager
    def as_used_before(self) -> Iterator[None]:
        """Let what the block writes here not count as a use of this definition."""
        used_ns = self.path.stat().st_mtime_ns
        try:
            yield
        finally:
            os.utime(self.path, ns=(used_ns, used_ns))

    def others(self) -> list[DerivedFolder]:
        """Return the folders of other definitions, those used last first."""
        used: list[tuple[float, str]] = []
        with contextlib.suppress(OSError):  # another process sweeps, too
            folders = [path for path in self.path.parent.iterdir() if path != self.path and path.is_dir()]
            used = [(path.stat().st_mtime, path.name) for path in folders]
        return [DerivedFolder(self.path.parent, name) for _, name in sorted(used, reverse=True)]

    def _forget_others(self, state: DerivedState, now: float) -> None:
        with contextlib.suppress(OSError):  # another process sweeps, too
            os.utime(self.path)
            for other in self.others():
                is_old = other.path.stat().st_mtime < now - FORGOTTEN_AFTER_S
                if is_old and (other.path.name in state.carried_from or not other.newest().kept_from_hour):
                    shutil.rmtree(other.path)

    def discard(self, names: list[str]) -> None:
        """Delete files that were written and never published."""
        for name in names:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()

    def _all_files(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return list(self.path.iterdir())
        return []

    def _numbers(self) -> list[int]:
        names = [path.name for path in self._all_files()]
        middles = [
            name[len(_STATE_PREFIX) : -len(_STATE_SUFFIX)]
            for name in names
            if name.startswith(_STATE_PREFIX) and name.endswith(_STATE_SUFFIX)
        ]
        return [int(middle) for middle in middles if middle.isdigit()]

    def _state_path(self, number: int) -> Path:
        return self.path / f"{_STATE_PREFIX}{number:0{_DIGITS}d}{_STATE_SUFFIX}"


# Derived files never change, and are asked again each time that parts may be merged.
@functools.lru_cache(maxsize=10_000)
def smallest_value(path: Path, column: str) -> int | None:
    """Return the least value of an integer column by the footer of a Parquet file; None if it tells none, or lacks it.

    Raises:
        StoreError: The file is damaged.
    """
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"the derived file {path} is damaged: {str(error).rstrip('.')}. Restore it, or delete its folder."
        ) from error
    columns = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    if column not in columns:
        return None
    place = columns.index(column)
    found = [metadata.row_group(number).column(place).statistics for number in range(metadata.num_row_groups)]
    return min((int(one.min or 0) for one in found if one is not None and one.has_min_max), default=None)


def known_states(root: Path) -> list[tuple[DerivedFolder, DerivedState]]:
    """Return the newest state of every definition below `root`."""
    folders = [DerivedFolder(root, path.name) for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    return [(folder, folder.newest()) for folder in folders]


def forget_derived(root: Path) -> None:
    """Delete everything below `root`, of all definitions; the next question derives it again.

    Raises:
        OSError: The folder can't be deleted.
    """
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(root)
