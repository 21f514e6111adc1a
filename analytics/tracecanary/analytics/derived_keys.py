"""Which parts of the derived state may know a trace: sorted digests of the trace ids of each part, in a file.

Looking a segment's traces up costs a few pages of each file, however many traces the lake has; reading the ids of all
facts would cost in proportion to the lake. Digests may collide, so a part that is named may turn out to know nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tracecanary.schema import StoreError

Keys = npt.NDArray[np.int64]
KEYS_TABLE = "trace_keys"


def write_keys(path: Path, keys: Keys) -> None:
    """Write the digests of a part's traces, in any order."""
    with path.open("wb") as file:  # by name, np.save would add a suffix
        np.save(file, np.unique(keys))


def knows_any(path: Path, keys: Keys) -> bool:
    """Whether a file has any of `keys`.

    Raises:
        StoreError: It is damaged.
    """
    try:
        known: Keys = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise StoreError(f"the derived file {path} is damaged: {error}") from error
    places = np.searchsorted(known, keys)
    found = places < len(known)
    return bool(np.any(known[places[found]] == keys[found]))
