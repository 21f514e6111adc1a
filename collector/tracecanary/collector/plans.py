"""What to read from spans of one shape: the tables of the conventions, compiled.

A shape is a scope and the names of a span's attributes; an application has few. Looking each column up in every table
costs 20 µs a span, following a plan 4.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tracecanary.collector.coercion import COLUMN_COERCION, storable_text, to_count, to_int, to_name
from tracecanary.collector.conventions import (
    CALLED_ROUTE,
    CONTEXT_COLUMNS,
    CONVENTIONS,
    SERVER_COLUMNS,
    Columns,
    Convention,
    Source,
    find_convention,
    is_content,
)
from tracecanary.collector.conventions.table import Reader
from tracecanary.collector.documents import PathStep
from tracecanary.schema import SPAN_COLUMNS

COLUMN_INDEX: Mapping[str, int] = {column.name: index for index, column in enumerate(SPAN_COLUMNS)}
# The fields of every span, in the order in which a row starts.
LEADING_COLUMNS = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "otel_kind",
    "start_unix_ns",
    "duration_ns",
    "status",
)
_COUNT_READERS: frozenset[Reader] = frozenset({to_int, to_count})
_MAX_NAME_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read a span: where each value comes from, in order of precedence."""

    # What all spans of the shape have in common: a row without its leading columns.
    template: list[Any]
    kind_from: tuple[str, ...]
    kinds: Mapping[str, str]
    kinds_by_name: tuple[tuple[str, str], ...]
    # Index of the column, attribute: columns of text, read in one place since they are many.
    texts: tuple[tuple[int, str], ...]
    # Index of the column, attribute, reader: columns of integers, likewise.
    counts: tuple[tuple[int, str, Reader], ...]
    # Index of the column, attribute, reader.
    reads: tuple[tuple[int, str, Reader], ...]
    # Attribute, then index of the column, path and reader of each value in its document.
    documents: tuple[tuple[str, tuple[tuple[int, tuple[PathStep, ...], Reader], ...]], ...]
    # Name to store it under, attribute.
    remaining: tuple[tuple[str, str], ...]
    # Attributes that are stored whatever else they are: the installation makes cohorts of them.
    dimensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Lookup:
    """The sources of a table in order: index of the column, source, reader."""

    exact: tuple[tuple[int, Source, Reader], ...]
    globs: tuple[tuple[int, Source, Reader], ...]


def _lookup(*tables: Columns) -> _Lookup:
    entries = []
    for table in tables:
        for column, sources in table.items():
            for item in sources:
                source = Source(item) if isinstance(item, str) else item
                entries.append((COLUMN_INDEX[column], source, source.read or COLUMN_COERCION[column]))
    return _Lookup(
        exact=tuple(entry for entry in entries if "*" not in entry[1].attribute),
        globs=tuple(entry for entry in entries if "*" in entry[1].attribute),
    )


# By the place of the convention in CONVENTIONS, since names repeat.
_LOOKUPS: Mapping[int, _Lookup] = {
    id(convention): _lookup(convention.columns, CONTEXT_COLUMNS) for convention in CONVENTIONS
}
_PLAIN = _lookup(CONTEXT_COLUMNS)
_SERVER = _lookup(SERVER_COLUMNS)


def compile_plan(
    scope_name: str,
    scope_version: str,
    attributes: Collection[str],
    *,
    is_server: bool,
    is_client: bool = False,
    dimensions: Collection[str] = (),
    taken: Collection[str] = (),
) -> Plan:
    """Return the plan of spans of this scope with these attributes.

    `dimensions` are attributes that make cohorts, `taken` names that something else is stored under.
    """
    convention = find_convention(scope_name, attributes)
    lookups = [_PLAIN if convention is None else _LOOKUPS[id(convention)], *([_SERVER] if is_server else [])]
    reads: list[tuple[int, str, Reader]] = []
    documents: dict[str, list[tuple[int, tuple[PathStep, ...], Reader]]] = {}
    for lookup in lookups:
        for index, attribute, source, read in _present(lookup, attributes):
            if is_client and attribute == CALLED_ROUTE:
                continue
            if source.path is None:
                reads.append((index, attribute, read))
            else:
                documents.setdefault(attribute, []).append((index, source.path, read))
    consumed = {attribute for _, attribute, _ in reads}
    # A column that also has another reader keeps its order of sources.
    not_text = {index for index, _, read in reads if read is not to_name}
    not_count = {index for index, _, read in reads if read not in _COUNT_READERS}
    return Plan(
        template=_template(scope_name, scope_version, convention),
        kind_from=tuple(name for name in convention.kind_from if name in attributes) if convention else (),
        kinds=convention.kinds if convention else {},
        kinds_by_name=tuple(convention.kinds_by_name.items()) if convention else (),
        texts=tuple((index, attribute) for index, attribute, _ in reads if index not in not_text),
        counts=tuple(entry for entry in reads if entry[0] not in not_count),
        reads=tuple(entry for entry in reads if entry[0] in not_text and entry[0] in not_count),
        documents=tuple((attribute, tuple(targets)) for attribute, targets in documents.items()),
        remaining=tuple(
            (storable_text(name[:_MAX_NAME_LENGTH]), name)
            for name in attributes
            if name not in consumed and name not in dimensions and name not in taken and not is_content(name)
        ),
        dimensions=tuple(name for name in dimensions if name in attributes),
    )


def _present(lookup: _Lookup, attributes: Collection[str]) -> Iterator[tuple[int, str, Source, Reader]]:
    for index, source, read in lookup.exact:
        if source.attribute in attributes:
            yield index, source.attribute, source, read
    for index, source, read in lookup.globs:
        start, _, end = source.attribute.partition("*")
        for name in attributes:
            if name.startswith(start) and name.endswith(end):
                yield index, name, source, read


def _template(scope_name: str, scope_version: str, convention: Convention | None) -> list[Any]:
    template: list[Any] = [None] * len(SPAN_COLUMNS)
    template[COLUMN_INDEX["scope_name"]] = to_name(scope_name)
    template[COLUMN_INDEX["scope_version"]] = to_name(scope_version)
    template[COLUMN_INDEX["convention"]] = None if convention is None else convention.name
    template[COLUMN_INDEX["kind"]] = "other"
    return template[len(LEADING_COLUMNS) :]
