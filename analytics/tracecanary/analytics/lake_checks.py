"""Looking over every file of a lake, and saying what to do about each that is not as it should be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import pyarrow.parquet as pq

from tracecanary.analytics.config import MS_PER_HOUR
from tracecanary.analytics.parquet_files import check_segment, refuse_damaged_content
from tracecanary.analytics.sweep import leavings, missing_files, orphaned_files, present_files
from tracecanary.schema import (
    FileLake,
    LakeError,
    LakeFile,
    LakeStorage,
    LakeTable,
    LocalCopies,
    Manifest,
    StoredFile,
    StoreError,
    hour_text,
    lake_storage,
    list_lake_files,
    local_copies,
    manifest_name,
    manifest_numbers,
    newest_manifest,
    read_manifest,
)

_NS_PER_MS = 1_000_000
# Whether a service compacts or nobody has for a day.
_OLD_SEGMENT_MS = 24 * MS_PER_HOUR
_SHOWN_GAPS = 5


class Severity(StrEnum):
    """How bad it is: rows can't be read or are lost; something wants doing; it is good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a lake: `subject` is a name below it, or "" for the whole."""

    severity: Severity
    subject: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeCheck:
    """What a lake holds, and what was found.

    Attributes:
        manifest: Number of the manifest that counts; 0 when there is none.
        rows: Rows of each table that could be counted, duplicates included.
        files: Rewritten files of each table.
        segments: Segments in landing of each table.
        findings: The worst first.
    """

    manifest: int
    rows: dict[str, int]
    files: dict[str, int]
    segments: dict[str, int]
    findings: tuple[Finding, ...]


def check_lake(
    lake: FileLake, *, now_ms: int, grace_ms: int, is_deep: bool = False, others: Sequence[Finding] = ()
) -> LakeCheck:
    """Look at every file of `lake`.

    Args:
        lake: Where the lake is.
        now_ms: Present time, ms since the epoch.
        grace_ms: How long unneeded files are kept, in ms.
        is_deep: Whether to read all rows, not only what files say about themselves.
        others: What was found elsewhere, such as in journals.

    Raises:
        LakeError: The lake can't be reached or listed.
    """
    storage = lake_storage(lake)
    findings = [*others, *_manifest_findings(storage)]
    rows = dict.fromkeys((table.value for table in LakeTable), 0)
    try:
        manifest, listed = newest_manifest(storage), list_lake_files(lake)
    except LakeError:  # is among the findings
        return LakeCheck(manifest=0, rows=rows, files={}, segments={}, findings=_sorted(findings))
    copies, present = local_copies(lake), present_files(storage)
    missing = frozenset(missing_files(manifest, present))
    findings += [_missing(name) for name in sorted(missing)]
    sizes = {file.name: file.size_bytes for file in present}
    for file in manifest.files:
        if file.path not in missing:
            found, counted = _file_findings(copies, file.path, is_deep=is_deep)
            findings += found or _against_manifest(file, rows=counted, size_bytes=sizes[file.path])
            rows[file.table.value] += counted
    for table, segments in listed.landing.items():
        for segment in segments:
            found, counted = _file_findings(copies, segment.name, is_deep=is_deep)
            findings += found or _age_findings(segment, now_ms=now_ms)
            rows[table.value] += counted
    findings += _unneeded_findings(manifest, present, now_ms=now_ms, grace_ms=grace_ms)
    findings += _gap_findings(manifest)
    if isinstance(lake, Path):
        findings += _leavings_findings(lake, now_ms=now_ms, grace_ms=grace_ms)
    return LakeCheck(
        manifest=manifest.number,
        rows=rows,
        files={table.value: len(manifest.of_table(table)) for table in LakeTable},
        segments={table.value: len(listed.landing[table]) for table in LakeTable},
        findings=_sorted(findings),
    )


def _sorted(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    severities = list(Severity)
    return tuple(sorted(findings, key=lambda finding: (severities.index(finding.severity), finding.subject)))


def _manifest_findings(storage: LakeStorage) -> Iterator[Finding]:
    numbers = manifest_numbers(storage)
    for number in numbers:
        try:
            read_manifest(storage, number)
        except LakeError as error:
            is_newest = number == numbers[-1]
            yield Finding(
                severity=Severity.ERROR if is_newest else Severity.NOTE,
                subject=manifest_name(number),
                problem=str(error),
                remedy=(
                    f"Unless an upgrade is needed, restore it from a backup, or move it out of the lake: then the one "
                    f"before counts ({_before(numbers)}). Look again afterwards."
                    if is_newest
                    else "Nothing needs it any more: move it out of the lake."
                ),
            )
    absent = sorted(set(range(numbers[0], numbers[-1])) - set(numbers)) if numbers else []
    if absent:
        yield Finding(
            severity=Severity.NOTE,
            subject=manifest_name(absent[0]),
            problem=f"{len(absent)} manifests between the oldest and the newest are missing",
            remedy="Nothing: only the newest counts. But something other than tracecanary deletes files here.",
        )


def _before(numbers: Sequence[int]) -> str:
    return manifest_name(numbers[-2]) if len(numbers) > 1 else "none: all segments in landing"


def _missing(name: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        subject=name,
        problem="the manifest lists it, but it is not there; readers fail",
        remedy="Restore it from a backup. To go on without it: tracecanary doctor --repair, which also takes back "
        "what it was made from, as far as that is not deleted yet.",
    )


def _file_findings(copies: LocalCopies, name: str, *, is_deep: bool) -> tuple[list[Finding], int]:
    """Return what is wrong with a file, and its rows."""
    try:
        lease = copies.lease([name])
        path = lease.paths[0]
        check_segment(path, is_seen_anew=True)
        if is_deep:
            refuse_damaged_content([path])
        rows = int(pq.read_metadata(path).num_rows)
        lease.close()
    except (StoreError, LakeError) as error:
        return [_unreadable(name, str(error))], 0
    return [], rows


def _unreadable(name: str, problem: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        subject=name,
        problem=problem,
        remedy="Restore it from a backup, upgrade if it is newer, or move it out of the lake"
        + (" and then run tracecanary doctor --repair." if name.startswith("compacted/") else "."),
    )


def _against_manifest(file: LakeFile, *, rows: int, size_bytes: int) -> list[Finding]:
    stated = [("rows", file.rows, rows), ("bytes", file.size_bytes, size_bytes)]
    return [
        Finding(
            severity=Severity.ERROR,
            subject=file.path,
            problem=f"it has {found} {what}, but the manifest says {expected}: something has changed it",
            remedy="Restore it from a backup.",
        )
        for what, expected, found in stated
        if expected != found
    ]


def _age_findings(segment: StoredFile, *, now_ms: int) -> list[Finding]:
    age_ms = now_ms - segment.modified_unix_ns // _NS_PER_MS
    if age_ms < _OLD_SEGMENT_MS:
        return []
    return [
        Finding(
            severity=Severity.WARNING,
            subject=segment.name,
            problem=f"it has not been compacted for {age_ms // MS_PER_HOUR} hours",
            remedy="Run tracecanary compact, or look into the log of the service that should do it.",
        )
    ]


def _unneeded_findings(
    manifest: Manifest, present: Sequence[StoredFile], *, now_ms: int, grace_ms: int
) -> Iterator[Finding]:
    sized = {file.name: file.size_bytes for file in present}
    overdue = [gone.path for gone in manifest.gone if gone.path in sized and gone.gone_unix_ms <= now_ms - 2 * grace_ms]
    killed = [file.name for file in orphaned_files(manifest, present)]
    for names, why in (
        (overdue, "were replaced, and kept longer than any reader needs"),
        (killed, "no manifest lists: a compaction was killed, or is running"),
    ):
        if names:
            size_mb = sum(sized[name] for name in names) / 1_000_000
            yield Finding(
                severity=Severity.NOTE,
                subject=min(names),
                problem=f"{len(names)} files ({size_mb:.1f} MB) {why}",
                remedy=f"tracecanary compact deletes them {grace_ms // 1000} s after they became unneeded.",
            )


def _gap_findings(manifest: Manifest) -> Iterator[Finding]:
    hours = sorted({file.hour for file in manifest.of_table(LakeTable.SPANS)})
    gaps = [(after - before - 1, before) for before, after in itertools.pairwise(hours) if after > before + 1]
    for length, before in sorted(gaps, reverse=True)[:_SHOWN_GAPS]:
        yield Finding(
            severity=Severity.NOTE,
            subject="",
            problem=f"no span started in {length} {'hour' if length == 1 else 'hours'} from {hour_text(before + 1)} on",
            remedy="Nothing, if there was no traffic. Otherwise look into the applications' logs of that time.",
        )


def _leavings_findings(lake: Path, *, now_ms: int, grace_ms: int) -> Iterator[Finding]:
    for path in leavings(lake):
        if path.exists() and path.stat().st_mtime_ns // _NS_PER_MS <= now_ms - grace_ms:
            yield Finding(
                severity=Severity.NOTE,
                subject=path.relative_to(lake).as_posix(),
                problem="a process that was killed left it unfinished",
                remedy="tracecanary compact deletes it.",
            )
