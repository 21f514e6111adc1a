"""Settings of what reads and writes the files of a lake, read once from the environment."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tracecanary.schema.errors import ConfigurationError
from tracecanary.schema.lake_location import LakeLocation

CACHE_VARIABLE = "TRACECANARY_CACHE"
MAX_CACHE_BYTES_VARIABLE = "TRACECANARY_MAX_CACHE_BYTES"
# 250 million spans at 40 bytes each.
DEFAULT_MAX_CACHE_BYTES = 10 * 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSettings:
    """Where copies of an object store's files are kept, and how many bytes of them.

    Files in use are kept besides: they are needed whatever the limit is.
    """

    folder: Path
    max_bytes: int = DEFAULT_MAX_CACHE_BYTES

    def __post_init__(self) -> None:
        """Refuse a limit that can't work."""
        if self.max_bytes < 0:
            raise ConfigurationError([f"max_bytes is {self.max_bytes}, but must be 0 or more"])


def cache_settings() -> CacheSettings:
    """Return the settings: `TRACECANARY_CACHE` and `TRACECANARY_MAX_CACHE_BYTES`, else a folder of the user's.

    Raises:
        ConfigurationError: A value can't work.
    """
    folder = os.environ.get(CACHE_VARIABLE)  # noqa: TID251  the one place that reads it
    limit = os.environ.get(MAX_CACHE_BYTES_VARIABLE)  # noqa: TID251
    if limit and not limit.isdecimal():
        raise ConfigurationError([f"{MAX_CACHE_BYTES_VARIABLE} is {limit!r}, which is no whole number"])
    return CacheSettings(
        folder=Path(folder).absolute() if folder else _user_folder("XDG_CACHE_HOME", ".cache"),
        max_bytes=int(limit) if limit else DEFAULT_MAX_CACHE_BYTES,
    )


def default_spool() -> Path:
    """Return the folder that journals of remote lakes are kept in: one of the user's that outlives a restart."""
    return _user_folder("XDG_STATE_HOME", ".local/state")


def folder_name(lake: LakeLocation) -> str:
    """Return a name for a local folder that belongs to `lake`, whatever credentials it is reached with."""
    return hashlib.blake2b(str(lake).encode(), digest_size=8).hexdigest()


def _user_folder(variable: str, default: str) -> Path:
    # XDG Base Directory Specification: a relative path is invalid, and to be ignored.
    given = Path(os.environ.get(variable, ""))  # noqa: TID251
    if given.is_absolute():
        return given / "tracecanary"
    try:
        return Path.home() / default / "tracecanary"
    except RuntimeError as error:
        raise ConfigurationError(
            [f"there is no home folder. Set {variable}, TRACECANARY_SPOOL and {CACHE_VARIABLE} to folders"]
        ) from error
