from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tracecanary.collector.journal_files import JournalFile
from tracecanary.collector.journal_survey import JournalState, survey_journals
from tracecanary.schema import LakeTable, journal_folder

ROWS = pa.table({"name": ["a", "b"]})


def states(lake: Path) -> list[tuple[JournalState, int | None]]:
    return [(journal.state, journal.rows) for journal in survey_journals(lake)]


def test_lake_without_journals_has_none(tmp_path: Path) -> None:
    assert states(tmp_path) == []


def test_journal_is_in_use_while_its_process_lives_and_then_an_orphan(tmp_path: Path) -> None:
    journal = JournalFile(journal_folder(tmp_path, LakeTable.SPANS), ROWS.schema)
    journal.append(ROWS)
    assert states(tmp_path) == [(JournalState.IN_USE, None)]

    journal.close()

    assert states(tmp_path) == [(JournalState.ORPHANED, 2)]
    assert journal.path.exists(), "it is only looked at"


def test_damage_is_told_with_the_rows_that_can_be_read(tmp_path: Path) -> None:
    journal = JournalFile(journal_folder(tmp_path, LakeTable.EVALUATIONS), ROWS.schema)
    journal.append(ROWS)
    journal.append(ROWS)
    journal.close()
    content = bytearray(journal.path.read_bytes())
    content[-20] ^= 0xFF
    journal.path.write_bytes(content)
    journal.path.with_name("older.damaged").write_bytes(b"kept")

    assert states(tmp_path) == [(JournalState.DAMAGED, 2), (JournalState.DAMAGED, None)]
