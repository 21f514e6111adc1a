"""Lists of OTLP attributes by columns: each a serialised `KeyValue`, of which equal ones are decoded once."""

from __future__ import annotations

import itertools
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tracecanary.collector.column_values import ArrowArray, Constant, Typed, Values, coded_values, int32_bytes
from tracecanary.collector.otlp_lean import LeanDecoders
from tracecanary.collector.otlp_values import protobuf_attributes, protobuf_value

_INT32_BYTES = 4
# Arrow keeps these as they are.
_TYPED = frozenset({"string_value", "int_value"})


class AttributeLists:
    """Attributes of many spans or events."""

    def __init__(self, decoders: LeanDecoders, lists: ArrowArray) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        encoded = lists.flatten().dictionary_encode()
        batch = decoders.key_values.array_to_record_batch(encoded.dictionary)
        numbered = batch.column("key").dictionary_encode()
        self._codes = encoded.indices
        offsets = lists.offsets
        self._offsets = pc.subtract(offsets, offsets[0]) if len(lists) else pa.array([0], pa.int32())
        self._keys: list[str] = numbered.dictionary.to_pylist()
        self._key_codes = numbered.indices.take(encoded.indices)
        self._values = _KeyValues(batch.column("value"), numbered.indices)
        ends = pc.multiply(self._offsets, pa.scalar(_INT32_BYTES, pa.int32()))
        buffers = [None, ends.buffers()[1], self._key_codes.buffers()[1] or pa.py_buffer(b"")]
        # Equal for lists of equal names in equal order.
        self.names_keys: ArrowArray = pa.Array.from_buffers(pa.binary(), len(lists), buffers)

    def names(self, row: int) -> tuple[str, ...]:
        """Return the names of a list."""
        return tuple([self._keys[code] for code in self._numbers(row)])

    def columns(self, rows: ArrowArray) -> list[Callable[[], Values]]:
        """Return what makes the values of `rows`, which have the same names, by name."""
        import pyarrow as pa

        lists: ArrowArray = pa.ListArray.from_arrays(self._offsets, self._codes)
        codes = array("i", int32_bytes(lists.take(rows).flatten()))
        width = len(codes) // len(rows)

        def maker(place: int, key: int) -> Callable[[], Values]:
            return lambda: self._column(codes[place::width], key)

        return [maker(place, key) for place, key in enumerate(self._numbers(rows[0].as_py()))]

    def mappings(self) -> list[dict[str, Any]]:
        """Return all lists as dictionaries; of equal names the last one stays."""
        values = self._values.at(self._codes, _KINDS)
        names = [self._keys[code] for code in self._key_codes.to_pylist()]
        offsets = self._offsets.to_pylist()
        return [
            dict(zip(names[start:end], values[start:end], strict=True)) for start, end in itertools.pairwise(offsets)
        ]

    def _numbers(self, row: int) -> list[int]:
        start, end = self._offsets[row].as_py(), self._offsets[row + 1].as_py()
        numbers: list[int] = self._key_codes.slice(start, end - start).to_pylist()
        return numbers

    def _column(self, codes: array[int], key: int) -> Values:
        import pyarrow as pa

        contents = codes.tobytes()
        if contents == contents[:_INT32_BYTES] * len(codes):
            return Constant(self._values.one(codes[0], self._values.kinds[key]), len(codes))
        places: ArrowArray = pa.Array.from_buffers(pa.int32(), len(codes), [None, pa.py_buffer(contents)])
        kinds = self._values.kinds[key]
        # Each read once, as Python values; but where most differ, Arrow is faster even so.
        if 2 * sum(kinds.values()) > len(codes) and len(kinds) == 1 and not _TYPED.isdisjoint(kinds):
            return Typed(self._values.typed(next(iter(kinds))).take(places))
        encoded = places.dictionary_encode()
        return coded_values(self._values.at(encoded.dictionary, kinds), encoded.indices)


class _KeyValues:
    """The values of distinct attributes, given with the numbers of their names.

    Raises:
        DecodeError: An array or a map is damaged.
    """

    def __init__(self, values: ArrowArray, keys: ArrowArray) -> None:
        self._values: Mapping[str, ArrowArray] = {kind: values.field(kind) for kind in _KINDS if kind}
        # By the number of a name: how many values of each kind there are.
        self.kinds: Mapping[int, Mapping[str, int]] = _kinds_by_key(values, keys)
        self._known: dict[int, Any] = {}
        # Values are read when a table is made. By then the sender has its answer, so what is damaged must show now.
        for kind, read in _READERS.items():
            for content in self._values[kind].drop_null().to_pylist():
                read(content)

    def typed(self, kind: str) -> ArrowArray:
        """Return the values of a kind, null where they are of another one."""
        return self._values[kind]

    def one(self, code: int, kinds: Collection[str]) -> Any:
        """Return the value at `code`, which is of one of these kinds."""
        if code not in self._known:
            self._known[code] = None
            for kind in kinds:
                content = self._values[kind][code].as_py() if kind else None
                if content is not None:
                    read = _READERS.get(kind)
                    self._known[code] = content if read is None else read(content)
        return self._known[code]

    def at(self, codes: ArrowArray, kinds: Collection[str]) -> list[Any]:
        """Return the values at `codes`, which are of these kinds."""
        values: list[Any] = [None] * len(codes)
        for kind in kinds:
            if not kind:
                continue
            found, read = self._values[kind].take(codes), _READERS.get(kind)
            if read is None and not found.null_count:
                return found.to_pylist()  # type: ignore[no-any-return]
            if found.null_count < len(found):
                for index, content in enumerate(found.to_pylist()):
                    if content is not None:
                        values[index] = content if read is None else read(content)
        return values


def _kinds_by_key(values: ArrowArray, keys: ArrowArray) -> Mapping[int, Mapping[str, int]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    places: ArrowArray = pa.repeat(pa.scalar(0, pa.int32()), len(values))
    for place, kind in enumerate(_KINDS[1:], 1):
        column = values.field(kind)
        if column.null_count < len(column):
            places = pc.if_else(column.is_valid(), pa.scalar(place, pa.int32()), places)
    joint = pc.add(pc.multiply(keys, pa.scalar(len(_KINDS), pa.int32())), places)
    kinds: dict[int, dict[str, int]] = defaultdict(dict)
    for counted in pc.value_counts(joint).to_pylist():
        key, place = divmod(counted["values"], len(_KINDS))
        kinds[key][_KINDS[place]] = counted["counts"]
    return kinds


def _array(content: bytes) -> Any:
    from opentelemetry.proto.common.v1.common_pb2 import ArrayValue

    return [protobuf_value(one) for one in ArrayValue.FromString(content).values]


def _mapping(content: bytes) -> Any:
    from opentelemetry.proto.common.v1.common_pb2 import KeyValueList

    return protobuf_attributes(KeyValueList.FromString(content).values)


_READERS: Mapping[str, Callable[[bytes], Any]] = {"array_value": _array, "kvlist_value": _mapping}
# Kinds of values, the first one for none.
_KINDS: Sequence[str] = (
    "",
    "string_value",
    "bool_value",
    "int_value",
    "double_value",
    "bytes_value",
    "array_value",
    "kvlist_value",
)
