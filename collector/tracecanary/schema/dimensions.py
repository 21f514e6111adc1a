"""Cohort dimensions of an installation's own: which key of a span, of baggage or of a resource makes a cohort."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from tracecanary.schema.columns import SPAN_COLUMNS
from tracecanary.schema.config_file import ConfigFile, Section

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
# Names that `cohort_by` has already, or might get.
_TAKEN = frozenset({column.name for column in SPAN_COLUMNS} | {"arm", "model", "prompt", "time", "hour", "day"})


class DimensionSource(StrEnum):
    """Where a dimension's value comes from."""

    ATTRIBUTE = "attribute"
    BAGGAGE = "baggage"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class CohortDimension:
    """One dimension: `name` as `cohort_by` takes it, and where its value is read."""

    name: str
    source: DimensionSource
    key: str

    @property
    def stored_as(self) -> str:
        """Key of the value in the map `attributes` of stored spans.

        Baggage becomes a span attribute of its own name, as OpenTelemetry's baggage processor makes it. Resource
        attributes have a prefix, since a span attribute may have the same name.
        """
        return f"resource.{self.key}" if self.source is DimensionSource.RESOURCE else self.key


def read_dimensions(file: ConfigFile) -> tuple[CohortDimension, ...]:
    """Return what `[cohorts.dimensions]` declares, in its order; problems are noted in `file`."""
    section = file.section("cohorts").table("dimensions")
    found = [_dimension(name, declared, section) for name, declared in section.tables().items()]
    return tuple(dimension for dimension in found if dimension is not None)


def _dimension(name: str, declared: Section, section: Section) -> CohortDimension | None:
    if not _NAME.fullmatch(name):
        section.note(name, name, "a name has a-z, 0-9 and _ only, a letter first, and 63 characters at most")
    elif name in _TAKEN:
        section.note(name, name, "that is a column already; choose another name")
    keys = {source: declared.text(source.value) for source in DimensionSource}
    given = [(source, key) for source, key in keys.items() if key is not None]
    if len(given) == 1:
        return CohortDimension(name, *given[0])
    declared.note_empty(" or ".join(DimensionSource))
    if len(given) > 1:
        section.note(name, {source.value: key for source, key in given}, "must name one key; remove the others")
    return None
