"""What a manifest of a lake says, and how one follows another. Pure: `lake_files` reads and writes them.

Theory of operation. Writers add segments to landing without asking anybody. Compaction rewrites them into files of one
hour each and says so in a manifest: the list of all rewritten files, and the names of those that readers must no longer
read because their rows are in others (gone files). Manifests are numbered and never change; the one with the highest
number counts. A new one is published under a number that must be free, so of two that follow the same manifest one
loses, and looks again. Gone files stay on disk for readers that listed them before.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from tracecanary.schema.errors import TraceCanaryError
from tracecanary.schema.layout import COMPACTED_FOLDER, LakeTable

# A reader refuses a newer format: it may name files that must not be read in a way that this one does not know.
MANIFEST_FORMAT = 1
# Files below it appear in manifests only; segments in landing are listed.
_COMPACTED_PREFIX = f"{COMPACTED_FOLDER}/"


class ManifestError(TraceCanaryError):
    """The text is no manifest that this version reads."""


class CompactionConflictError(TraceCanaryError):
    """Another compaction has rewritten the same files first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeFile:
    """One Parquet file of rewritten rows, all of one hour.

    Attributes:
        path: Relative to the lake, with "/".
        table: Table of its rows.
        rows: Number of rows; no two have the same key.
        size_bytes: Size on disk.
        hour: Whole hours since the Unix epoch: of the start of spans, of the receipt of evaluations.
        min_unix_ns: Smallest of these times, ns since the epoch.
        max_unix_ns: Largest of these times, ns since the epoch.
        schema_version: Version of the columns.
        made_unix_ms: When it was written, ms since the epoch.
        manifest: Number of the manifest that listed it first.
    """

    path: str
    table: LakeTable
    rows: int
    size_bytes: int
    hour: int
    min_unix_ns: int
    max_unix_ns: int
    schema_version: int
    made_unix_ms: int
    manifest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneFile:
    """A file that readers must not read any more; it is deleted when none can have it in hand.

    Attributes:
        path: Relative to the lake, with "/".
        gone_unix_ms: When it was replaced or fell out of the retention, ms since the epoch.
        manifest: Number of the manifest that dropped it.
    """

    path: str
    gone_unix_ms: int
    manifest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The rewritten part of a lake at one moment. Number 0 stands for a lake that has no manifest yet.

    Attributes:
        number: Counts up from 1.
        files: What to read, besides the segments in landing.
        gone: What not to read any more, of the last hours.
        forgotten_through: Files that went with this manifest or an earlier one may be in `gone` no more. Whoever knows
            the lake as of that manifest or a later one can tell from `gone` which files hold nothing new.
        kept_from_hour: First hour (since the epoch) of a table that retention has kept.
    """

    number: int = 0
    files: tuple[LakeFile, ...] = ()
    gone: tuple[GoneFile, ...] = ()
    forgotten_through: int = 0
    kept_from_hour: Mapping[LakeTable, int] = field(default_factory=dict)

    @property
    def gone_paths(self) -> frozenset[str]:
        """Paths that readers must not read any more."""
        return frozenset(file.path for file in self.gone)

    def of_table(self, table: LakeTable) -> tuple[LakeFile, ...]:
        """Return the files of `table`."""
        return tuple(file for file in self.files if file.table is table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a compaction did: `added` holds all rows of `removed` (paths of any files) that shall be kept."""

    added: tuple[LakeFile, ...] = ()
    removed: frozenset[str] = frozenset()
    kept_from_hour: Mapping[LakeTable, int] = field(default_factory=dict)


def next_manifest(base: Manifest, change: Change, *, now_ms: int, forgotten: Collection[str] = ()) -> Manifest:
    """Return the manifest that follows `base`.

    Args:
        base: The newest manifest.
        change: What was rewritten.
        now_ms: Present time, ms since the epoch.
        forgotten: Gone files that need not be remembered, because they are deleted: see `forgettable`.

    Raises:
        CompactionConflictError: `change` removes a file that is gone already.
    """
    listed = {file.path for file in base.files}
    rewritten = {path for path in change.removed if path not in listed and path.startswith(_COMPACTED_PREFIX)}
    twice = (change.removed & base.gone_paths) | rewritten
    if twice:
        raise CompactionConflictError(f"{len(twice)} files were rewritten by another compaction, such as {min(twice)}")
    number = base.number + 1
    kept = tuple(file for file in base.files if file.path not in change.removed)
    remembered = tuple(file for file in base.gone if file.path not in forgotten)
    forgotten_now = (file.manifest for file in base.gone if file.path in forgotten)
    gone = tuple(GoneFile(path=path, gone_unix_ms=now_ms, manifest=number) for path in sorted(change.removed))
    added = tuple(replace(file, manifest=number) for file in change.added)
    return Manifest(
        number=number,
        files=tuple(sorted((*kept, *added), key=lambda file: (file.table, file.hour, file.path))),
        gone=(*remembered, *gone),
        forgotten_through=max((base.forgotten_through, *forgotten_now)),
        kept_from_hour={**base.kept_from_hour, **change.kept_from_hour},
    )


def sweepable(manifest: Manifest, *, now_ms: int, grace_ms: int) -> tuple[str, ...]:
    """Return the gone files that no reader can have in hand any more: those that went `grace_ms` ago or earlier."""
    return tuple(file.path for file in manifest.gone if file.gone_unix_ms <= now_ms - grace_ms)


def forgettable(manifest: Manifest, *, present: Collection[str], now_ms: int, grace_ms: int) -> frozenset[str]:
    """Return the gone files that were deleted long enough ago for every reader's list of names to be newer.

    `present` are the paths of all files that still exist: one that does must be remembered, or it were read again.
    """
    old = sweepable(manifest, now_ms=now_ms, grace_ms=2 * grace_ms)
    return frozenset(old) - frozenset(present)


def manifest_to_json(manifest: Manifest) -> str:
    """Return the text that `manifest_from_json` reads."""
    return json.dumps(
        {
            "format": MANIFEST_FORMAT,
            "number": manifest.number,
            "forgotten_through": manifest.forgotten_through,
            "kept_from_hour": {table.value: hour for table, hour in manifest.kept_from_hour.items()},
            "files": [asdict(file) for file in manifest.files],
            "gone": [asdict(file) for file in manifest.gone],
        },
        separators=(",", ":"),
    )


def manifest_from_json(text: str | bytes, *, number: int) -> Manifest:
    """Read the manifest with the number `number`.

    Raises:
        ManifestError: It is none, or of a newer format.
    """
    try:
        read = json.loads(text)
        stated = read["format"]
        if isinstance(stated, int) and stated > MANIFEST_FORMAT:
            raise ManifestError(
                f"it has format {stated}, but this tracecanary reads up to {MANIFEST_FORMAT}. "
                "Upgrade tracecanary where it reads the lake."
            )
        return Manifest(
            number=_equal(read["number"], number),
            files=tuple(_lake_file(item) for item in read["files"]),
            gone=tuple(GoneFile(**_members(GoneFile, item)) for item in read["gone"]),
            forgotten_through=_checked(read["forgotten_through"], int),
            kept_from_hour={LakeTable(name): _checked(hour, int) for name, hour in read["kept_from_hour"].items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ManifestError(
            f"it is no manifest: {type(error).__name__} {error}. tracecanary doctor says what to do."
        ) from error


def _lake_file(item: Any) -> LakeFile:
    members = _members(LakeFile, item)
    return LakeFile(**{**members, "table": LakeTable(members["table"])})


def _members(kind: Any, item: Any) -> dict[str, Any]:
    # Members that a later version added within the format are passed over.
    texts = {"path", "table"}
    return {member.name: _checked(item[member.name], str if member.name in texts else int) for member in fields(kind)}


def _equal(stated: Any, number: int) -> int:
    if stated != number:
        raise ValueError(f"it states the number {stated!r}")
    return number


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r} found where {kind.__name__} belongs")
    return value
