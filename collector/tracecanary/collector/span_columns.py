"""From many captured spans of one shape to columns: the same values as `Normaliser.row` gives, at a third of the cost.

Values are read column by column, and each distinct value is converted once. What only few spans have (failures,
conventions with times in documents) is left to the rows: `is_plain_plan` and `shaped_spans.is_plain` tell.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracecanary.collector.attributes import FALLBACK_TO
from tracecanary.collector.coercion import to_count, to_duration_ns, to_name
from tracecanary.collector.column_values import Values, map_entries, read_all, repeated
from tracecanary.collector.conventions.context import TAGS
from tracecanary.collector.derived import (
    agent_name,
    numbered_step,
    retry_source,
    step_source,
    tool_arguments_hash,
    tool_name,
    with_cached_tokens,
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
from tracecanary.collector.shaped_spans import (
    DROPPED,
    END,
    EVENTS,
    FIRST_VALUE,
    IS_SAMPLED,
    NAME,
    PARENT,
    SPAN_ID,
    START,
    STATUS,
    TRACE_ID,
    TRACE_STATE,
    SpanColumnGroup,
    SpanGroup,
)
from tracecanary.schema import SPAN_COLUMNS, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

_MAX_INT64 = 2**63 - 1
_TRACE_ID_BYTES, _SPAN_ID_BYTES = 16, 8
_TRACE_ID_LIMIT, _SPAN_ID_LIMIT = 256**_TRACE_ID_BYTES, 256**_SPAN_ID_BYTES

_at = COLUMN_INDEX.__getitem__


def is_plain_plan(plan: Plan, attributes: Collection[str]) -> bool:
    """Tell whether spans of this plan and with these attribute names can be read by columns."""
    convention = plan.template[_at("convention") - len(LEADING_COLUMNS)]
    if is_sent_row(attributes):
        return False
    return convention != "langfuse" and FLAG_KEY not in attributes and not any(name in attributes for name in TAGS)


class SpanColumns:
    """The columns of spans of one shape.

    Any exception here means that some value is out of the ordinary: the spans are then read one by one.
    """

    def __init__(self, group: SpanGroup | SpanColumnGroup, plan: Plan, normaliser: Normaliser) -> None:
        self._shape = group.shape
        self._plan = plan
        self._normaliser = normaliser
        names = group.shape.attributes
        self._rows, self._fields = group.size, group.fields()
        self._attributes: dict[str, Values] = dict(zip(names, self._fields[FIRST_VALUE:], strict=True))
        # A column is either one value for all spans, or a list of one for each.
        self._constants: list[Any] = [*([None] * len(LEADING_COLUMNS)), *plan.template]
        for index, value in normaliser.resource_values(group.shape.resource):
            self._constants[index] = value
        self._kept_of_resource, self._constants[_at("attributes")] = self._constants[_at("attributes")] or (), None
        self._lists: dict[int, Values] = {}

    def are_valid(self) -> bool:
        """Tell whether all spans have ids and times as they should be."""
        for place, limit in ((TRACE_ID, _TRACE_ID_LIMIT), (SPAN_ID, _SPAN_ID_LIMIT)):
            ids = self._fields[place]
            if min(ids) <= 0 or max(ids) >= limit:
                return False
        for place in (START, END):
            times = self._fields[place]
            if set(map(type, times)) != {int} or min(times) < 0 or max(times) > _MAX_INT64:
                return False
        return True

    def table(self) -> pa.Table:
        """Return the columns as a table."""
        import pyarrow as pa

        self._read_identity()
        self._read_kinds()
        self._read_attributes()
        self._read_documents()
        self._complete()
        self._combine("model", self._normaliser.model, "request_model", "response_model")
        if self._has_values("fallback_from"):
            self._combine("fallback_from", lambda model: self._normaliser.model(model, None), "fallback_from")
        schema, rows = _schema(), self._rows
        arrays: list[pa.Array[Any]] = []
        for index, field in enumerate(schema):
            if index in self._lists:
                arrays.append(pa.array(self._lists[index], type=field.type))
            elif self._constants[index] is None:
                arrays.append(pa.nulls(rows, type=field.type))
            else:
                arrays.append(pa.repeat(pa.scalar(self._constants[index], type=field.type), rows))
        arrays[_at("trace_id")] = self._hex_ids(TRACE_ID, _TRACE_ID_BYTES)
        arrays[_at("span_id")] = self._hex_ids(SPAN_ID, _SPAN_ID_BYTES)
        if _at("parent_span_id") not in self._lists:
            arrays[_at("parent_span_id")] = self._hex_ids(PARENT, _SPAN_ID_BYTES)
        arrays[_at("attributes")] = self._remaining()
        return pa.Table.from_arrays(arrays, schema=schema)

    def _read_identity(self) -> None:
        fields, lists = self._fields, self._lists
        starts, ends = fields[START], fields[END]
        if not all(fields[PARENT]):  # else they are made of all at once, like other ids
            lists[_at("parent_span_id")] = [
                parent.to_bytes(_SPAN_ID_BYTES).hex() if parent else None for parent in fields[PARENT]
            ]
        self._read("name", to_name, fields[NAME])
        kind = self._shape.kind
        self._constants[_at("otel_kind")] = OTEL_KINDS[kind if 0 <= kind < len(OTEL_KINDS) else 0]
        lists[_at("start_unix_ns")] = starts
        lists[_at("duration_ns")] = list(map(to_duration_ns, starts, ends))
        self._read("status", _status, fields[STATUS])
        self._read("is_sampled", bool, fields[IS_SAMPLED])
        self._read("dropped_attributes", _dropped, fields[DROPPED])
        self._read("sampling_probability", _probability, fields[TRACE_STATE])

    def _read(self, column: str, read: Callable[[Any], object], values: Values) -> None:
        """Set a column to what `read` makes of `values`."""
        self._set(_at(column), read_all(read, values))

    def _set(self, index: int, values: Values) -> None:
        if len(values) == self._rows:
            self._lists[index] = values
        else:
            self._constants[index] = values[0]

    def _read_kinds(self) -> None:
        plan = self._plan
        if not plan.kind_from and not plan.kinds_by_name:
            return
        keys = list(zip(self._fields[NAME], *(self._attributes[name] for name in plan.kind_from), strict=True))
        known: dict[Any, str | None] = {}
        for key in set(keys):
            known[key] = kind_of(plan, key[0], dict(zip(plan.kind_from, key[1:], strict=True)))
        default = self._constants[_at("kind")]
        if len(known) == 1:
            self._constants[_at("kind")] = known[keys[0]] or default
        else:
            self._lists[_at("kind")] = [known[key] or default for key in keys]

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
        present = self._lists.get(index)
        if present is None:
            if self._constants[index] is None:
                self._set(index, read_all(read, self._attributes[name]))
        elif None in present:
            self._lists[index] = [
                read(given) if value is None else value
                for value, given in zip(present, self._attributes[name], strict=True)
            ]

    def _read_documents(self) -> None:
        for name, targets in self._plan.documents:
            wanted = [target for target in targets if self._has_gaps(target[0])]
            if not wanted:
                continue
            columns = {index: list(self._values_at(index)) for index, _, _ in wanted}
            for row, value in enumerate(self._attributes[name]):
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
            self._lists.update(columns)

    def _complete(self) -> None:
        """Fill the columns that others tell, as `complete_row` does."""
        names = self._shape.attributes
        if self._has_values("cache_read_tokens") or self._has_values("cache_write_tokens"):
            self._combine("input_tokens", with_cached_tokens, "input_tokens", "cache_read_tokens", "cache_write_tokens")
        self._complete_steps(names)
        if self._has_values("retry_count"):
            self._combine(
                "retry_source",
                lambda count, source, kind: (
                    retry_source(kind, names) if count is not None and source is None else source
                ),
                "retry_count",
                "retry_source",
                "kind",
            )
        if FALLBACK_TO in names or self._has_values("fallback_from"):
            self._combine(
                "fallback_used",
                lambda used, left: True if used is None and (left is not None or FALLBACK_TO in names) else used,
                "fallback_used",
                "fallback_from",
            )
        kinds = set(self._values("kind"))
        if "tool" in kinds:
            self._complete_kind("tool", "tool_name", lambda row: tool_name(self._fields[NAME][row], self._given(row)))
            self._complete_kind(
                "tool",
                "tool_arguments_hash",
                lambda row: tool_arguments_hash(self._given(row), self._fields[EVENTS][row]),
            )
        if "agent" in kinds:
            self._complete_kind(
                "agent", "agent_name", lambda row: agent_name(self._fields[NAME][row], self._given(row))
            )

    def _complete_steps(self, names: Collection[str]) -> None:
        if not (self._has_values("step") or self._has_values("step_name") or self._has_values("operation")):
            return
        source = step_source(names)
        if not self._has_gaps(_at("step")):
            self._lists.pop(_at("step_source"), None)
            self._constants[_at("step_source")] = source
            return
        steps: list[int | None] = []
        sources: list[str | None] = []
        told = zip(*map(self._values, ("step", "step_name", "operation")), self._fields[NAME], strict=True)
        for step, name, operation, span_name in told:
            has_step = step is not None or name is not None or operation == "agent_step"
            steps.append(numbered_step(step, span_name) if has_step else step)
            sources.append(source if steps[-1] is not None or name is not None else None)
        self._lists[_at("step")], self._lists[_at("step_source")] = steps, sources

    def _combine(self, column: str, read: Callable[..., object], *columns: str) -> None:
        """Set a column to what `read` makes of others, reading equal ones once."""
        if not any(_at(name) in self._lists for name in columns):
            value = read(*(self._constants[_at(name)] for name in columns))
            self._lists.pop(_at(column), None)
            self._constants[_at(column)] = value
            return
        rows = list(zip(*map(self._values, columns), strict=True))
        known = {row: read(*row) for row in set(rows)}
        self._lists[_at(column)] = [known[row] for row in rows]

    def _complete_kind(self, kind: str, column: str, complete: Callable[[int], str | None]) -> None:
        present = zip(self._values("kind"), self._values(column), strict=True)
        self._lists[_at(column)] = [
            complete(row) if is_kind == kind and value is None else value
            for row, (is_kind, value) in enumerate(present)
        ]

    def _given(self, row: int) -> Mapping[str, Any]:
        """Return the attributes of one span."""
        return {name: values[row] for name, values in self._attributes.items()}

    def _remaining(self) -> pa.Array[Any]:
        """Return the map of attributes that no column is read from."""
        import pyarrow as pa

        rows = self._rows
        kept: list[tuple[str, Values]] = [(name, [text]) for name, text in self._kept_of_resource]
        declared = [(name, name, to_name) for name in self._plan.dimensions]
        for stored_name, name, read in [*((*names, remaining_text) for names in self._plan.remaining), *declared]:
            texts = read_all(read, self._attributes[name])
            if texts != [None]:
                kept.append((stored_name, texts))
        names, width = [name for name, _ in kept], len(kept)
        offsets: Sequence[int] = range(0, rows * width + 1, width) if width else [0] * (rows + 1)
        keys: Any
        items: Any
        if all(len(texts) < rows for _, texts in kept):
            keys, items = repeated(names, rows), repeated([texts[0] for _, texts in kept], rows)
        else:
            columns = [texts if len(texts) == rows else [texts[0]] * rows for _, texts in kept]
            if any(None in column for column in columns):
                keys, items, offsets = map_entries(names, columns)
            else:
                keys, items = repeated(names, rows), [text for row in zip(*columns, strict=True) for text in row]
        # The stubs know offsets of 64 bits only; the array has 32.
        arrays = (pa.array(offsets, pa.int32()), pa.array(keys, pa.string()), pa.array(items, pa.string()))
        return pa.MapArray.from_arrays(*arrays)  # type: ignore[call-overload,no-any-return]

    def _hex_ids(self, place: int, size: int) -> pa.Array[Any]:
        """Return ids as text: all are of one length, so the text of all is one buffer."""
        import pyarrow as pa

        rows = self._rows
        digits = b"".join([number.to_bytes(size) for number in self._fields[place]]).hex().encode()
        offsets = pa.array(range(0, 2 * size * rows + 1, 2 * size), pa.int32())
        return pa.Array.from_buffers(pa.string(), rows, [None, offsets.buffers()[1], pa.py_buffer(digits)])

    def _values(self, column: str) -> Values:
        return self._values_at(_at(column))

    def _values_at(self, index: int) -> Values:
        values = self._lists.get(index)
        return [self._constants[index]] * self._rows if values is None else values

    def _has_gaps(self, index: int) -> bool:
        values = self._lists.get(index)
        return self._constants[index] is None if values is None else None in values

    def _has_values(self, column: str) -> bool:
        index = _at(column)
        values = self._lists.get(index)
        if values is None:
            return self._constants[index] is not None
        return any(value is not None for value in values)


@functools.cache
def _schema() -> pa.Schema:
    return arrow_schema(SPAN_COLUMNS)


def _probability(trace_state: object) -> float | None:
    return sampling_probability(str(trace_state)) if trace_state else None


def _status(status: int) -> str:
    return STATUSES[status if 0 <= status < len(STATUSES) else 0]


def _dropped(attributes: object) -> int:
    return to_count(attributes) or 0
