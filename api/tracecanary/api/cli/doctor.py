"""`tracecanary doctor`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tracecanary.analytics.config import wall_clock_ms
from tracecanary.analytics.derived_checks import derived_findings
from tracecanary.analytics.lake_checks import Finding, LakeCheck, Severity, check_lake
from tracecanary.analytics.repair import Repair
from tracecanary.analytics.repair import repair as repair_lake
from tracecanary.api.cli.entry import EXIT_FAILED
from tracecanary.api.cli.options import counted, existing_lake
from tracecanary.api.config import service_settings
from tracecanary.api.presentation.wording import plain
from tracecanary.collector.config import LAKE_VARIABLE
from tracecanary.collector.destinations import journal_root
from tracecanary.collector.journal_survey import JournalState, SurveyedJournal, survey_journals
from tracecanary.schema import CONFIG_VARIABLE

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}
_LOST = "some of its rows can't be read"


def doctor(
    lake: Annotated[str, typer.Option(envvar=LAKE_VARIABLE, help="folder or URL of the lake")],
    deep: Annotated[bool, typer.Option(help="read every row, not only what the files say about themselves")] = False,
    repair: Annotated[
        bool, typer.Option(help="stop listing files that are missing, and read again what they were made from")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    config: Annotated[Path | None, typer.Option(envvar=CONFIG_VARIABLE, help="configuration file, TOML")] = None,
) -> None:
    """Look over every file of a lake, and say what to do about each that is not as it should be.

    Changes nothing without --repair. Exits with 1 when there is an error or a warning.
    """
    location = existing_lake(lake)
    settings, now_ms = service_settings(config), wall_clock_ms()
    grace_ms = settings.compaction.grace_ms
    repaired = repair_lake(location) if repair else None
    root = journal_root(location)
    journals = [finding for journal in survey_journals(root) for finding in _journal_findings(root, journal)]
    others = [*journals, *derived_findings(location, settings.derivation, now_ms=now_ms)]
    check = check_lake(location, now_ms=now_ms, grace_ms=grace_ms, is_deep=deep, others=others)
    is_sound = all(finding.severity is Severity.NOTE for finding in check.findings)
    if as_json:
        typer.echo(json.dumps(_document(check, repaired, is_sound=is_sound), indent=2))
    else:
        _print(check, repaired, is_sound=is_sound)
    if not is_sound:
        raise typer.Exit(EXIT_FAILED)


def _journal_findings(root: Path, journal: SurveyedJournal) -> Iterator[Finding]:
    subject = journal.path.relative_to(root).as_posix()
    if journal.state is JournalState.ORPHANED and journal.rows:
        yield Finding(
            severity=Severity.WARNING,
            subject=subject,
            problem=f"{counted(journal.rows, 'row')} of a process that has died wait in it, unseen by readers",
            remedy="tracecanary compact adds them to the lake; so does a running service, within seconds.",
        )
    elif journal.state is JournalState.ORPHANED:
        yield Finding(
            severity=Severity.NOTE,
            subject=subject,
            problem="an empty journal of a process that has died",
            remedy="tracecanary compact deletes it.",
        )
    elif journal.state is JournalState.DAMAGED:
        saved = "those before the damage are in the lake" if journal.rows is None else f"{journal.rows} of them can"
        yield Finding(
            severity=Severity.WARNING,
            subject=subject,
            problem=f"a damaged journal of {journal.size_bytes} bytes: {_LOST}; {saved}",
            remedy="Check the disk. If no one is going to save more of it by hand, delete it."
            if journal.rows is None
            else "Check the disk; tracecanary compact adds the rows that can be read.",
        )
    elif journal.state is JournalState.UNREADABLE:
        yield Finding(
            severity=Severity.WARNING,
            subject=subject,
            problem="the journal can't be read",
            remedy="Check its rights and the disk.",
        )


def _document(check: LakeCheck, repaired: Repair | None, *, is_sound: bool) -> dict[str, object]:
    document = {"is_sound": is_sound, **dataclasses.asdict(check)}
    return document if repaired is None else {**document, "repaired": dataclasses.asdict(repaired)}


def _print(check: LakeCheck, repaired: Repair | None, *, is_sound: bool) -> None:
    console = Console(soft_wrap=True)
    if repaired is not None:
        console.print(
            f"repaired: {counted(len(repaired.given_up), 'file')} given up, "
            f"{counted(len(repaired.taken_back), 'file')} taken back",
            highlight=False,
        )
    for finding in check.findings:
        head = f"{finding.subject}: " if finding.subject else ""
        said = plain(f"{head}{finding.problem}. {finding.remedy}")
        console.print(Text.assemble((f"{finding.severity.value}: ", _STYLES[finding.severity]), said))
    for table, rows in check.rows.items():
        console.print(
            f"{table}: {counted(rows, 'row')} in {counted(check.files.get(table, 0), 'file')} and "
            f"{counted(check.segments.get(table, 0), 'segment')}",
            highlight=False,
        )
    console.print("the lake is sound" if is_sound else "the lake needs attention", highlight=False)
