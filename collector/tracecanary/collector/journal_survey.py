"""What stands in the journals of a lake, without touching any of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tracecanary.collector.journal_files import claimed, read_journal
from tracecanary.schema import JOURNAL_SUFFIX, LakeTable, journal_folder

_DAMAGED_PATTERN = "*.damaged"


class JournalState(StrEnum):
    """Who will publish a journal's rows."""

    IN_USE = "in use"  # the process that writes it
    ORPHANED = "orphaned"  # whoever comes next: its process has died
    DAMAGED = "damaged"  # those that could be read are published; it is kept for what could not
    UNREADABLE = "unreadable"  # nobody: its file can't be read


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedJournal:
    """One journal file; `rows` is None where they are not counted."""

    path: Path
    table: LakeTable
    state: JournalState
    size_bytes: int
    rows: int | None = None


def survey_journals(root: Path) -> Iterator[SurveyedJournal]:
    """Give every journal file below `root`: a lake's folder, or the spool of one on an object store."""
    for table in LakeTable:
        folder = journal_folder(root, table)
        for path in sorted(folder.glob(f"*{JOURNAL_SUFFIX}")):
            journal = _surveyed(path, table)
            if journal is not None:
                yield journal
        for path in sorted(folder.glob(_DAMAGED_PATTERN)):
            yield SurveyedJournal(path=path, table=table, state=JournalState.DAMAGED, size_bytes=path.stat().st_size)


def _surveyed(path: Path, table: LakeTable) -> SurveyedJournal | None:
    try:
        size_bytes = path.stat().st_size
        with claimed(path) as is_orphan:
            if not is_orphan:
                return SurveyedJournal(path=path, table=table, state=JournalState.IN_USE, size_bytes=size_bytes)
            contents = read_journal(path)
    except FileNotFoundError:  # published meanwhile
        return None
    except OSError:
        return SurveyedJournal(path=path, table=table, state=JournalState.UNREADABLE, size_bytes=0)
    rows = 0 if contents.rows is None else contents.rows.num_rows
    state = JournalState.DAMAGED if contents.is_damaged else JournalState.ORPHANED
    return SurveyedJournal(path=path, table=table, state=state, size_bytes=size_bytes, rows=rows)
