"""What a table of a convention consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tracecanary.collector.coercion import milliseconds_to_ns
from tracecanary.collector.documents import PathStep

Reader = Callable[[object], object]


class Source(NamedTuple):
    """One place that a column may be read from.

    `attribute` may hold one `*` for any text. With `path` the attribute holds a document (JSON or a Python `repr`), and
    the value stands at that path in it; the empty path is the document itself. `read` replaces the column's own reader.
    """

    attribute: str
    path: tuple[PathStep, ...] | None = None
    read: Reader | None = None


# For each canonical column where it is read from: the first source that has a value wins, so that two names for one
# number are never added up. Plain attributes go before values inside documents, which cost more to read.
Columns = Mapping[str, tuple[str | Source, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What tells that a span follows a convention: its scope, attributes that it has, or both.

    `scope` is a name, or with a final `*` the start of one.
    """

    scope: str | None = None
    attributes: tuple[str, ...] = ()

    def is_on(self, scope_name: str, attributes: Iterable[str]) -> bool:
        """Tell whether a span of this scope, with these attributes, bears the mark."""
        if self.scope is not None:
            is_start = self.scope.endswith("*")
            if not (scope_name.startswith(self.scope[:-1]) if is_start else scope_name == self.scope):
                return False
        return all(name in attributes for name in self.attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """One instrumentation's way of naming things.

    A span follows the convention when it bears one of `marks`. `kind_from` names the attributes that tell the kind of
    span, `kinds` maps their values in lower case; `kinds_by_name` maps starts of span names and goes first.
    """

    name: str
    marks: tuple[Mark, ...]
    kind_from: tuple[str, ...]
    kinds: Mapping[str, str]
    columns: Columns
    kinds_by_name: Mapping[str, str] = field(default_factory=dict)


def inside(attribute: str, *path: PathStep, read: Reader | None = None) -> Source:
    """Return the source at `path` in the document that `attribute` holds."""
    return Source(attribute, path, read)


def quoted(attribute: str) -> Source:
    """Return the source of an attribute that holds a JSON scalar: text in quotes of its own."""
    return Source(attribute, ())


def milliseconds(attribute: str) -> Source:
    """Return the source of a duration in milliseconds."""
    return Source(attribute, read=milliseconds_to_ns)


def usage(attribute: str, *path: PathStep) -> Columns:
    """Return the sources of token counts in a document of usage, as OpenAI, Anthropic and LangChain write it."""

    def at(*places: tuple[PathStep, ...]) -> tuple[Source, ...]:
        return tuple(Source(attribute, path + place) for place in places)

    return {
        "input_tokens": at(("input_tokens",), ("prompt_tokens",), ("input",)),
        "output_tokens": at(("output_tokens",), ("completion_tokens",), ("output",)),
        "cache_read_tokens": at(
            ("cache_read_input_tokens",),
            ("prompt_tokens_details", "cached_tokens"),
            ("input_tokens_details", "cached_tokens"),
            ("input_token_details", "cache_read"),
            ("input_cached_tokens",),
        ),
        "cache_write_tokens": at(
            ("cache_creation_input_tokens",),
            ("cache_write_input_tokens",),
            ("prompt_tokens_details", "cache_write_tokens"),
            ("input_token_details", "cache_creation"),
        ),
        "reasoning_tokens": at(
            ("completion_tokens_details", "reasoning_tokens"),
            ("output_tokens_details", "reasoning_tokens"),
            ("output_token_details", "reasoning"),
            ("output_reasoning_tokens",),
        ),
    }


def merged(*tables: Columns) -> Columns:
    """Return the columns of all `tables`; a column that several have reads the sources of the earlier ones first."""
    columns: dict[str, tuple[str | Source, ...]] = {}
    for table in tables:
        for column, sources in table.items():
            columns[column] = columns.get(column, ()) + sources
    return columns
