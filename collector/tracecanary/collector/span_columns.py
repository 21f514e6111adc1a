"""From many captured spans of one shape to columns: the same values as `Normaliser.row` gives, at a tenth of the cost.

Values are read column by column, and each distinct value is converted once. What only few spans have (failures,
conventions with times in documents) is left to the rows: `is_plain_plan` and `shaped_spans.is_plain` tell.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from tracecanary.collector.attributes import FALLBACK_TO
from tracecanary.collector.coercion import to_count, to_hash, to_name
from tracecanary.collector.column_maps import text_map
from tracecanary.collector.column_values import ArrowArray, Constant, Listed, Typed, Values, combined
from tracecanary.collector.conventions.context import AGENT_NAMES, TAGS, TOOL_ARGUMENTS, TOOL_NAMES
from tracecanary.collector.derived import (
    agent_name,
    numbered_step,
    retry_source,
    step_source,
    tool_arguments_hash,
    tool_name,
)
from tracecanary.collector.documents import parse_document, read_path
from tracecanary.collector.events import FLAG_KEY
from tracecanary.collector.normalise import (
    OTEL_KINDS,
    STATUSES,
    Normaliser,
    kind_of,
    remaining_text,
    sampling_probability,
)
from tracecanary.collector.plans import COLUMN_INDEX, LEADING_COLUMNS, Plan
from tracecanary.collector.sent_spans import is_sent_row
from tracecanary.collector.shaped_spans import SpanColumnGroup, SpanGroup
from tracecanary.collector.span_fields import listed_fields
from tracecanary.schema import SPAN_COLUMNS, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

# Times of theirs are told by attributes.
_READ_ONE_BY_ONE = frozenset({"langfuse", "logfire"})

_at = COLUMN_INDEX.__getitem__


def is_plain_plan(plan: Plan, attributes: Collection[str]) -> bool:
    """Tell whether spans of this plan and with these attribute names can be read by columns."""
    convention = plan.template[_at("convention") - len(LEADING_COLUMNS)]
    if is_sent_row(attributes) or convention in _READ_ONE_BY_ONE:
        return False
    return FLAG_KEY not in attributes and not any(name in attributes for name in TAGS)


class SpanColumns:
    """The columns of spans of one shape.

    Any exception here means that some value is out of the ordinary: the spans are then read one by one.
    """

    def __init__(self, group: SpanGroup | SpanColumnGroup, plan: Plan, normaliser: Normaliser) -> None:
        self._shape = group.shape
        self._plan = plan
        self._normaliser = normaliser
        self._rows = group.size
        self._fields = listed_fields(group) if isinstance(group, SpanGroup) else group.fields()
        self._attributes = self._fields.attributes
        template = [*([None] * len(LEADING_COLUMNS)), *plan.template]
        for index, value in normaliser.resource_values(group.shape.resource):
            template[index] = value
        self._kept_of_resource, template[_at("attributes")] = template[_at("attributes")] or (), None
        self._columns: list[Values] = [Constant(value, self._rows) for value in template]

    def table(self) -> pa.Table:
        """Return the columns as a table."""
        import pyarrow as pa

        self._read_identity()
        self._read_kinds()
        self._read_attributes()
        self._read_documents()
        self._complete()
        self._combine("model", self._normaliser.model, "request_model", "response_model")
        if self._of("fallback_from").has_values:
            self._combine("fallback_from", lambda model: self._normaliser.model(model, None), "fallback_from")
        fields = self._fields
        own = {
            "trace_id": fields.trace_ids,
            "span_id": fields.span_ids,
            "parent_span_id": fields.parents,
            "start_unix_ns": fields.starts,
            "duration_ns": fields.durations,
            "attributes": self._remaining(),
        }
        schema = _schema()
        # Most columns have one value, and most of these none: such arrays are shared.
        known: dict[Any, ArrowArray] = {}
        arrays: list[ArrowArray] = []
        for field, values in zip(schema, self._columns, strict=True):
            if field.name in own:
                arrays.append(own[field.name])
            elif isinstance(values, Constant):
                key = (field.type, values.value)
                if key not in known:
                    known[key] = values.array(field.type)
                arrays.append(known[key])
            else:
                arrays.append(values.array(field.type))
        return pa.Table.from_arrays(arrays, schema=schema)

    def _of(self, column: str) -> Values:
        return self._columns[_at(column)]

    def _set(self, column: str, values: Values) -> None:
        self._columns[_at(column)] = values

    def _read_identity(self) -> None:
        fields, kind = self._fields, self._shape.kind
        self._set("name", fields.names.read(to_name))
        self._set("otel_kind", Constant(OTEL_KINDS[kind if 0 <= kind < len(OTEL_KINDS) else 0], self._rows))
        self._set("status", fields.statuses.read(_status))
        self._set("is_sampled", fields.are_sampled.read(bool))
        self._set("dropped_attributes", fields.dropped.read(_dropped))
        self._set("sampling_probability", fields.trace_states.read(_probability))

    def _read_kinds(self) -> None:
        plan, default = self._plan, self._of("kind")
        if not plan.kind_from and not plan.kinds_by_name:
            return
        sources = [self._attributes[name] for name in plan.kind_from]
        self._set(
            "kind",
            combined(
                lambda kind, name, *told: kind_of(plan, name, dict(zip(plan.kind_from, told, strict=True))) or kind,
                default,
                self._fields.names,
                *sources,
            ),
        )

    def _read_attributes(self) -> None:
        plan = self._plan
        for index, name in plan.texts:
            self._fill(index, name, to_name)
        for index, name, read in plan.counts:
            self._fill(index, name, read)
        for index, name, read in plan.reads:
            self._fill(index, name, read)

    def _fill(self, index: int, name: str, read: Callable[[object], object]) -> None:
        """Read a column where it has no value yet."""
        present = self._columns[index]
        if not present.has_values:
            self._columns[index] = self._attributes[name].read(read)
        elif present.has_gaps:
            self._columns[index] = combined(_first, present, self._attributes[name].read(read))

    def _read_documents(self) -> None:
        for name, targets in self._plan.documents:
            wanted = [target for target in targets if self._columns[target[0]].has_gaps]
            if not wanted:
                continue
            columns = {index: list(self._columns[index].rows()) for index, _, _ in wanted}
            for row, value in enumerate(self._attributes[name].rows()):
                if all(column[row] is not None for column in columns.values()):
                    continue
                document = parse_document(value)
                if document is None:
                    document = value  # not everything that should be in quotes is
                for index, path, read in wanted:
                    if columns[index][row] is None:
                        found = read_path(document, path)
                        if found is not None:
                            columns[index][row] = read(found)
            for index, column in columns.items():
                self._columns[index] = Listed(column)

    def _complete(self) -> None:
        """Fill the columns that others tell, as `complete_row` does."""
        names = self._shape.attributes
        if self._of("cache_read_tokens").has_values or self._of("cache_write_tokens").has_values:
            self._complete_input_tokens()
        self._complete_steps(names)
        if self._of("retry_count").has_values:
            self._combine(
                "retry_source",
                lambda count, source, kind: (
                    retry_source(kind, names) if count is not None and source is None else source
                ),
                "retry_count",
                "retry_source",
                "kind",
            )
        if FALLBACK_TO in names or self._of("fallback_from").has_values:
            self._combine(
                "fallback_used",
                lambda used, left: True if used is None and (left is not None or FALLBACK_TO in names) else used,
                "fallback_used",
                "fallback_from",
            )
        kinds = self._of("kind").coded()
        told = (
            {kinds.value}
            if isinstance(kinds, Constant)
            else set(self._of("kind").rows() if kinds is None else kinds.distinct)
        )
        if "tool" in told:
            self._complete_name("tool", "tool_name", tool_name, TOOL_NAMES)
            self._complete_arguments()
        if "agent" in told:
            self._complete_name("agent", "agent_name", agent_name, AGENT_NAMES)

    def _complete_input_tokens(self) -> None:
        """Add cached tokens to an input that leaves them out: `with_cached_tokens`."""
        import pyarrow as pa
        import pyarrow.compute as pc

        given = self._of("input_tokens").array(pa.int64())
        read, written = (
            pc.coalesce(self._of(column).array(pa.int64()), 0) for column in ("cache_read_tokens", "cache_write_tokens")
        )
        cached = pc.add_checked(read, written)
        are_apart = pc.greater(cached, given)
        if pc.any(are_apart).as_py():
            self._set("input_tokens", Typed(pc.if_else(are_apart, pc.add_checked(given, cached), given)))

    def _complete_steps(self, names: Collection[str]) -> None:
        steps, step_names, operations = map(self._of, ("step", "step_name", "operation"))
        if not (steps.has_values or step_names.has_values or operations.has_values):
            return
        source = step_source(names)
        if not steps.has_gaps:
            self._set("step_source", Constant(source, self._rows))
            return

        def number(step: int | None, name: str | None, operation: str | None, span_name: str) -> int | None:
            has_step = step is not None or name is not None or operation == "agent_step"
            return numbered_step(step, span_name) if has_step else step

        told = (steps, step_names, operations, self._fields.names)
        self._set(
            "step_source",
            combined(
                lambda step, name, *more: source if number(step, name, *more) is not None or name is not None else None,
                *told,
            ),
        )
        self._set("step", combined(number, *told))

    def _combine(self, column: str, read: Callable[..., object], *columns: str) -> None:
        """Set a column to what `read` makes of others, reading equal ones once."""
        self._set(column, combined(read, *map(self._of, columns)))

    def _complete_name(self, kind: str, column: str, name: Callable[..., str | None], sources: Collection[str]) -> None:
        """Fill the gaps of a column, in spans of a kind, by the attributes `sources` or else the name of the span."""
        present = self._of(column)
        if not present.has_gaps:
            return
        given = [source for source in sources if source in self._shape.attributes]
        texts = [self._attributes[source].read(to_name) for source in given]
        self._set(
            column,
            combined(
                lambda is_kind, value, span_name, *told: (
                    name(span_name, dict(zip(given, told, strict=True))) if is_kind == kind and value is None else value
                ),
                self._of("kind"),
                present,
                self._fields.names,
                *texts,
            ),
        )

    def _complete_arguments(self) -> None:
        """Fill the hashes of arguments, from an attribute, else events."""
        present = self._of("tool_arguments_hash")
        if not present.has_gaps:
            return
        given = next((self._attributes[name] for name in TOOL_ARGUMENTS if name in self._shape.attributes), None)
        events = self._fields.events
        if events is None or (given is not None and not given.has_gaps):
            if given is not None:
                hashes = given.read(to_hash)
                self._set(
                    "tool_arguments_hash",
                    combined(
                        lambda kind, value, found: found if kind == "tool" and value is None else value,
                        self._of("kind"),
                        present,
                        hashes,
                    ),
                )
            return
        arguments = [None] * self._rows if given is None else given.rows()
        name = next((name for name in TOOL_ARGUMENTS if name in self._shape.attributes), TOOL_ARGUMENTS[0])
        rows = zip(self._of("kind").rows(), present.rows(), arguments, events, strict=True)
        self._set(
            "tool_arguments_hash",
            Listed(
                [
                    tool_arguments_hash({name: given_here}, told) if kind == "tool" and value is None else value
                    for kind, value, given_here, told in rows
                ]
            ),
        )

    def _remaining(self) -> pa.Array[Any]:
        """Return the map of attributes that no column is read from."""
        kept: list[tuple[str, Values]] = [(name, Constant(text, self._rows)) for name, text in self._kept_of_resource]
        declared = [(name, name, to_name) for name in self._plan.dimensions]
        for stored_name, name, read in [*((*names, remaining_text) for names in self._plan.remaining), *declared]:
            texts = self._attributes[name].read(read)
            if texts.has_values:
                kept.append((stored_name, texts))
        return text_map(kept, self._rows)


@functools.cache
def _schema() -> pa.Schema:
    return arrow_schema(SPAN_COLUMNS)


def _first(present: object, other: object) -> object:
    return other if present is None else present


def _probability(trace_state: object) -> float | None:
    return sampling_probability(str(trace_state)) if trace_state else None


def _status(status: int) -> str:
    return STATUSES[status if 0 <= status < len(STATUSES) else 0]


def _dropped(attributes: object) -> int:
    return to_count(attributes) or 0
