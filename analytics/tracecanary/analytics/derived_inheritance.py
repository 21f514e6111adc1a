"""What a definition takes over from another: what has outlived its spans, if it has the same columns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tracecanary.analytics.derived_files import DerivedFolder, smallest_value
from tracecanary.analytics.derived_state import DerivedState, Listing, Part, kept_from_ns, kept_hours
from tracecanary.analytics.derived_tables import DERIVED_TABLES, ROW_TABLES
from tracecanary.analytics.engine import Engine, EngineLimits
from tracecanary.analytics.parquet_files import file_columns, refuse_damaged_content
from tracecanary.schema import StoreError

_logger = logging.getLogger(__name__)

_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))

# By table, the types of columns by their names.
Columns = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Inheritance:
    """What a definition of which there is nothing begins with.

    Attributes:
        emptied: Its first state, before it takes anything over.
        folder: Where the files of `known` are.
        known: What to take over; None if nothing can be.
        written: Names of files of `known` to be deleted then.
    """

    emptied: DerivedState
    folder: DerivedFolder
    known: DerivedState | None = None
    written: Sequence[str] = ()


def find_inheritance(
    own: DerivedFolder,
    state: DerivedState,
    listing: Listing,
    write_like: Callable[[], Part],
    *,
    limits: EngineLimits | None,
) -> Inheritance | None:
    """Return what `own` begins with; None if no other definition knows anything that has outlived its spans.

    Args:
        own: Folder of the definition, whose newest state is `state`, with no parts.
        state: That state.
        listing: The files of the lake.
        write_like: Writes a part with the right columns into `own`.
        limits: What it may take of the machine.

    Raises:
        StoreError: A derived file is damaged.
    """
    others = [(folder, other) for folder, other in _states(own.others()) if other.kept_from_hour and other.parts]
    if not others:
        return None
    like = write_like()
    try:
        return _first_fitting(own, state, listing, others, like, limits)
    finally:
        own.discard(sorted(like.files.values()))


def _first_fitting(
    own: DerivedFolder,
    state: DerivedState,
    listing: Listing,
    others: Sequence[tuple[DerivedFolder, DerivedState]],
    like: Part,
    limits: EngineLimits | None,
) -> Inheritance | None:
    emptied = DerivedState(revision=state.revision + 1, manifest=listing.manifest)
    left_in: dict[str, int] = {}
    for folder, other in others:
        kept = kept_hours(other, listing)
        found = _in_columns_of(like, own, folder, other, limits=limits)
        if found is not None:
            known_in = {**left_in, **other.left_in}
            taken_over = other.carried_from | {own.path.name}
            emptied = replace(
                emptied,
                kept_from_hour=kept,
                carried_from=other.carried_from | {folder.path.name},
                left_in={name: hour for name, hour in known_in.items() if name not in taken_over},
                facts_from_day=other.facts_from_day,
                rollups_from_day=other.rollups_from_day,
            )
            return replace(found, emptied=emptied)
        if _may_outlive(folder, other, kept):
            left_in[folder.path.name] = max(kept.values())
            _logger.warning(
                "%s has facts of traces whose spans have expired, with other columns than this version's: they are "
                "left there, and don't count",
                folder.path,
            )
    if not left_in:
        return None
    return Inheritance(emptied=replace(emptied, kept_from_hour=listing.kept_from_hour, left_in=left_in), folder=own)


def _in_columns_of(
    like: Part, own: DerivedFolder, folder: DerivedFolder, other: DerivedState, *, limits: EngineLimits | None
) -> Inheritance | None:
    """Return `other`, of `folder`, with the columns of `like`, a part in `own`; None if it can't be read with them."""
    tables = DERIVED_TABLES if other.facts_from_day else (*ROW_TABLES, "superseded")
    wanted = columns_of(own, like, tables)
    found = [columns_of(folder, part, tables) for part in other.parts]
    if all(columns == wanted for columns in found):
        return Inheritance(emptied=other, folder=folder, known=other)
    if not all(_can_be_cast(columns, wanted) for columns in found):
        return None
    written: list[str] = []
    try:
        parts = [_cast(part, folder, like, own, tables, written, limits) for part in other.parts]
    except StoreError:
        own.discard(written)
        refuse_damaged_content([folder.path / part.files[table] for part in other.parts for table in tables])
        return None  # a value is too large for the narrower type
    return Inheritance(emptied=other, folder=own, known=replace(other, parts=tuple(parts)), written=written)


def _cast(
    part: Part,
    folder: DerivedFolder,
    like: Part,
    own: DerivedFolder,
    tables: Sequence[str],
    written: list[str],
    limits: EngineLimits | None,
) -> Part:
    files = {}
    with Engine(limits) as engine:
        for table in tables:
            path = own.new_file(table)
            written.append(path.name)
            engine.cast_view("cast_rows", folder.path / part.files[table], like=own.path / like.files[table])
            engine.write("cast_rows", path)
            files[table] = path.name
    return replace(part, files=files)


def _may_outlive(folder: DerivedFolder, other: DerivedState, kept: Mapping[str, int]) -> bool:
    """Whether there are facts of traces whose spans have expired, or rollups of such facts."""
    if other.facts_from_day:
        return True
    kept_ns = max(kept_from_ns(kept).values(), default=0)
    oldest = [smallest_value(folder.path / name, "start_unix_ns") for name in other.files_of("facts")]
    return any(start is None or start < kept_ns for start in oldest)


def _states(folders: Sequence[DerivedFolder]) -> Iterator[tuple[DerivedFolder, DerivedState]]:
    for folder in folders:
        yield folder, folder.newest()


def columns_of(folder: DerivedFolder, part: Part, tables: Sequence[str]) -> Columns:
    """Return the columns of a part's tables.

    Raises:
        StoreError: A file is damaged.
    """
    return {table: file_columns(folder.path / part.files[table]) for table in tables if table in part.files}


def _can_be_cast(found: Columns, wanted: Columns) -> bool:
    """Whether columns are the same but for how wide integers are."""
    return found.keys() == wanted.keys() and all(
        columns.keys() == wanted[table].keys()
        and all(
            kind == wanted[table][name] or {kind, wanted[table][name]} <= _INTEGERS for name, kind in columns.items()
        )
        for table, columns in found.items()
    )
