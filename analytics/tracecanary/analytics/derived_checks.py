"""What there is to say of the files of a lake's derived state."""

from __future__ import annotations

from collections.abc import Iterator

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_build import deletion_delay_ns
from tracecanary.analytics.derived_definition import definition
from tracecanary.analytics.derived_files import DerivedFolder, derived_root, smallest_value
from tracecanary.analytics.derived_state import DAY_NS, HOUR_NS, DerivedState
from tracecanary.analytics.lake_checks import Finding, Severity
from tracecanary.analytics.question import time_of
from tracecanary.schema import FileLake, StoreError

# Facts expire once their spans have, by the next compaction, and by whole days.
_DUE_DAYS = 2


def derived_findings(lake: FileLake, settings: DerivationSettings, *, now_ms: int) -> Iterator[Finding]:
    """Tell what has expired of the facts and rollups of `lake`, and what should have.

    Args:
        lake: Where the lake is.
        settings: What facts depend on, and how long they are to be kept.
        now_ms: Present time, ms since the epoch.
    """
    folder = DerivedFolder(derived_root(lake), definition(settings))
    state = folder.newest()
    if state.facts_from_day:
        since = f"facts of traces that started before {_day(state.facts_from_day)} have expired"
        rollups = f"; rollups before {_day(state.rollups_from_day)}, too" if state.rollups_from_day else ""
        yield Finding(
            severity=Severity.NOTE,
            subject="derived",
            problem=f"{since}{rollups}",
            remedy="Nothing: [retention] says so. /compare answers from the rollups of whole days before.",
        )
    yield from _left_facts(folder, state)
    wanted, days = settings.retention.facts_from_day(now_ms=now_ms), settings.retention.facts_days
    if wanted is None:
        return
    due_ns = (wanted - _DUE_DAYS) * DAY_NS - deletion_delay_ns(days)
    try:
        yield from (finding for other in folder.others() for finding in _overdue_facts(other, due_ns))
        oldest_ns = _oldest_ns(folder, state)
    except StoreError as error:
        yield Finding(
            severity=Severity.ERROR, subject="derived", problem=str(error), remedy="Restore it from a backup."
        )
        return
    if (
        oldest_ns is not None
        and oldest_ns < (wanted - _DUE_DAYS) * DAY_NS
        and state.facts_from_day < wanted - _DUE_DAYS
    ):
        yield Finding(
            severity=Severity.WARNING,
            subject="derived",
            problem=f"facts should be kept since {_day(wanted)}, but there are some of {_date(oldest_ns)}",
            remedy="Run tracecanary compact with this configuration, or look into the log of the service: facts expire "
            "once compaction has dropped their spans.",
        )


def _left_facts(folder: DerivedFolder, state: DerivedState) -> Iterator[Finding]:
    """Tell which facts could not be taken over from another version's folder."""
    for name, hour in sorted(state.left_in.items()):
        before = f"{time_of(hour * HOUR_NS):%Y-%m-%dT%H:%MZ}"
        left = folder.path.parent / name
        if left.exists():
            yield Finding(
                severity=Severity.WARNING,
                subject="derived",
                problem=f"traces before {before} may be missing: facts that outlived their spans were left "
                f"in {left}, whose columns this version can't read",
                remedy="To ask for these days, ask the version of tracecanary that made the folder. Once nobody needs "
                "them, delete the folder: it does not expire.",
            )
        else:
            yield Finding(
                severity=Severity.NOTE,
                subject="derived",
                problem=f"traces before {before} may be missing: the folder {left} that had their facts is gone",
                remedy="Nothing, or restore the folder from a backup.",
            )


def _overdue_facts(other: DerivedFolder, due_ns: int) -> Iterator[Finding]:
    """Tell of another definition's folder with facts that should have left its files."""
    oldest_ns = _oldest_ns(other, other.newest())
    if oldest_ns is not None and oldest_ns < due_ns:
        yield Finding(
            severity=Severity.WARNING,
            subject="derived",
            problem=f"{other.path}, of other settings or another version, has facts since {_date(oldest_ns)}, "
            "which are not to be kept so long",
            remedy="Run tracecanary compact with this configuration. If they stay, another version of tracecanary made "
            "the folder, with other columns: delete it.",
        )


def _oldest_ns(folder: DerivedFolder, state: DerivedState) -> int | None:
    found = [smallest_value(folder.path / name, "start_unix_ns") for name in state.files_of("facts")]
    return min((oldest for oldest in found if oldest is not None), default=None)


def _day(day: int) -> str:
    return _date(day * DAY_NS)


def _date(unix_ns: int) -> str:
    return f"{time_of(unix_ns):%Y-%m-%d}"
