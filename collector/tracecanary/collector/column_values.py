"""The values of one column, of many spans, in the form that costs least to read: one for all, or distinct ones.

Values that repeat are read once, and rows are made of them by Arrow: nothing here costs Python a step for each span but
`Listed`, for values that no Arrow array can hold apart (1, 1.0 and True).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from tracecanary.collector.coercion import MAX_COUNT, MAX_NAME_LENGTH, MAX_WORD_LENGTH, to_count, to_int, to_name
from tracecanary.collector.normalise import remaining_text

if TYPE_CHECKING:
    import pyarrow as pa

# The stubs know neither all kernels nor that arrays of one type fit each other.
ArrowArray: TypeAlias = Any
Reader: TypeAlias = Callable[[Any], object]
# Longer ones are content, which is read to be dropped: not worth a copy.
_MAX_TEXT_BYTES = 4_096
_ASCII_SPACE = b"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f "
_MIN_INT64 = -(2**63)


class Values(Protocol):
    """The values of one column."""

    @property
    def size(self) -> int:
        """How many rows there are."""
        ...

    @property
    def has_values(self) -> bool:
        """Whether one of them is not None."""
        ...

    @property
    def has_gaps(self) -> bool:
        """Whether one of them is None."""
        ...

    def read(self, read: Reader) -> Values:
        """Return what `read` makes of each value, reading equal ones once."""
        ...

    def rows(self) -> Sequence[Any]:
        """Return a value for each row."""
        ...

    def coded(self) -> Constant | Coded | None:
        """Return the distinct values and where they are; None when they can't be told apart."""
        ...

    def array(self, type_: pa.DataType) -> ArrowArray:
        """Return them as an array."""
        ...


@dataclass(frozen=True, slots=True)
class Constant:
    """One value for all rows."""

    value: Any
    size: int

    @property
    def has_values(self) -> bool:
        """Whether it is not None."""
        return self.value is not None

    @property
    def has_gaps(self) -> bool:
        """Whether it is None."""
        return self.value is None

    def read(self, read: Reader) -> Constant:
        """Return what `read` makes of it."""
        return Constant(read(self.value), self.size)

    def rows(self) -> list[Any]:
        """Return it for each row."""
        return [self.value] * self.size

    def coded(self) -> Constant:
        """Return itself."""
        return self

    def array(self, type_: pa.DataType) -> ArrowArray:
        """Return it as an array."""
        import pyarrow as pa

        type_of_any: Any = type_
        if self.value is None:
            return pa.nulls(self.size, type_of_any)
        one: Any = pa.scalar(self.value, type_of_any)
        return pa.repeat(one, self.size)


@dataclass(frozen=True, slots=True)
class Coded:
    """Distinct values, and the place among them of each row's: integers without nulls."""

    distinct: Sequence[Any]
    codes: ArrowArray

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.codes)

    @property
    def has_values(self) -> bool:
        """Whether one of them is not None."""
        return any(value is not None for value in self.distinct)

    @property
    def has_gaps(self) -> bool:
        """Whether one of them is None."""
        return any(value is None for value in self.distinct)

    def read(self, read: Reader) -> Constant | Coded:
        """Return what `read` makes of each distinct value."""
        return coded_values([read(value) for value in self.distinct], self.codes)

    def rows(self) -> list[Any]:
        """Return a value for each row."""
        return list(map(self.distinct.__getitem__, self.codes.to_pylist()))

    def coded(self) -> Coded:
        """Return itself."""
        return self

    def array(self, type_: pa.DataType) -> ArrowArray:
        """Return them as an array."""
        import pyarrow as pa

        return pa.array(self.distinct, type=type_).take(self.codes)


@dataclass(frozen=True, slots=True)
class Typed:
    """An Arrow array of text or integers, mostly different ones."""

    values: ArrowArray

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.values)

    @property
    def has_values(self) -> bool:
        """Whether one of them is not None."""
        return bool(self.values.null_count < len(self.values))

    @property
    def has_gaps(self) -> bool:
        """Whether one of them is None."""
        return bool(self.values.null_count)

    def read(self, read: Reader) -> Values:
        """Return what `read` makes of each value: all at once where Arrow can tell what that is."""
        at_once = _AT_ONCE.get((read, str(self.values.type)))
        found = at_once(self.values) if at_once is not None and not self.values.null_count else None
        return self.coded().read(read) if found is None else Typed(found)

    def rows(self) -> list[Any]:
        """Return a value for each row."""
        values: list[Any] = self.values.to_pylist()
        return values

    def coded(self) -> Constant | Coded:
        """Return the distinct values and where they are."""
        encoded = self.values.dictionary_encode(null_encoding="encode")
        return coded_values(encoded.dictionary.to_pylist(), encoded.indices)

    def array(self, type_: pa.DataType) -> ArrowArray:
        """Return them as an array."""
        return self.values if self.values.type == type_ else self.values.cast(type_)


@dataclass(frozen=True, slots=True)
class Listed:
    """Values of any types."""

    values: Sequence[Any]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.values)

    @property
    def has_values(self) -> bool:
        """Whether one of them is not None."""
        return any(value is not None for value in self.values)

    @property
    def has_gaps(self) -> bool:
        """Whether one of them is None."""
        return any(value is None for value in self.values)

    def read(self, read: Reader) -> Values:
        """Return what `read` makes of each value."""
        kinds = set(map(type, self.values))
        # Of one type, since 1, 1.0 and True are equal; and without 0.0, which -0.0 is equal to.
        distinct = set(self.values) if kinds in ({str}, {int}, {bool}, {float}) else set()
        if not distinct or (kinds == {float} and 0.0 in distinct):
            return Listed([read(value) for value in self.values])
        known = {value: read(value) for value in distinct}
        if len(known) == 1:
            return Constant(next(iter(known.values())), self.size)
        return Listed([known[value] for value in self.values])

    def rows(self) -> Sequence[Any]:
        """Return a value for each row."""
        return self.values

    def coded(self) -> None:
        """Return None: equal values may be different ones."""

    def array(self, type_: pa.DataType) -> ArrowArray:
        """Return them as an array."""
        import pyarrow as pa

        return pa.array(self.values, type=type_)


def listed_values(values: Sequence[Any]) -> Values:
    """Return values that were captured one by one."""
    import pyarrow as pa

    first = values[0]
    if type(first) is str and values.count(first) == len(values):
        return Constant(first, len(values))
    kinds = set(map(type, values))
    try:
        if kinds == {int}:
            return Constant(first, len(values)) if min(values) == max(values) else Typed(pa.array(values, pa.int64()))
        if kinds == {str} and max(map(len, values)) <= _MAX_TEXT_BYTES:
            return Typed(pa.array(values, pa.string()))
    except (OverflowError, UnicodeEncodeError):  # an integer of more than 64 bits, a lone surrogate
        pass
    return Listed(values)


def coded_values(distinct: Sequence[Any], codes: ArrowArray) -> Constant | Coded:
    """Return the values that `codes` tell, all of `distinct`."""
    if len(distinct) == 1 or all(value is None for value in distinct):
        return Constant(distinct[0], len(codes))
    return Coded(distinct, codes)


def combined(read: Callable[..., object], *columns: Values) -> Values:
    """Return what `read` makes of the values of several columns, reading equal ones once.

    Values of a column must differ where they are different to `read`, which 1 and True don't: read each column first.
    """
    coded = [one for column in columns if (one := column.coded()) is not None]
    if len(coded) < len(columns):
        rows = list(zip(*(column.rows() for column in columns), strict=True))
        known = {row: read(*row) for row in set(rows)}
        return Listed([known[row] for row in rows])
    varying = [one for one in coded if isinstance(one, Coded)]
    if not varying:
        return Constant(read(*(one.value for one in coded if isinstance(one, Constant))), columns[0].size)
    codes, places = _joint_codes(varying)
    return coded_values([read(*_values_at(coded, place)) for place in places], codes)


def _joint_codes(columns: Sequence[Coded]) -> tuple[ArrowArray, list[list[int]]]:
    """Return one code for each row, and for each code the places in all columns."""
    if len(columns) == 1:
        return columns[0].codes, [[place] for place in range(len(columns[0].distinct))]
    import pyarrow as pa
    import pyarrow.compute as pc

    joint = columns[0].codes.cast(pa.int64())
    for column in columns[1:]:
        joint = pc.add_checked(pc.multiply_checked(joint, len(column.distinct)), column.codes.cast(pa.int64()))
    encoded = joint.dictionary_encode()
    places = []
    for code in encoded.dictionary.to_pylist():
        place = []
        for column in reversed(columns):
            code, last = divmod(code, len(column.distinct))
            place.append(last)
        places.append(place[::-1])
    return encoded.indices, places


def _values_at(columns: Sequence[Constant | Coded], places: Sequence[int]) -> list[Any]:
    place = iter(places)
    return [one.value if isinstance(one, Constant) else one.distinct[next(place)] for one in columns]


def length_bounds(texts: ArrowArray) -> tuple[int, int]:
    """Return the least and the most bytes of texts or ids."""
    import pyarrow.compute as pc

    lengths: ArrowArray = pc.binary_length(texts)
    return _bounds(lengths)


def _as_names(texts: ArrowArray) -> ArrowArray | None:
    """Return `texts` when `to_name` keeps each as it is: in Arrow there are no lone surrogates."""
    import pyarrow.compute as pc

    least, most = length_bounds(texts)
    is_kept = 0 < least <= most <= MAX_NAME_LENGTH and not pc.any(pc.starts_with(texts, pattern="[")).as_py()
    return texts if is_kept else None


def _as_words(texts: ArrowArray) -> ArrowArray | None:
    """Return `texts` when `remaining_text` keeps each as it is."""
    import pyarrow.compute as pc

    least, most = length_bounds(texts)
    if not 0 < least <= most <= MAX_WORD_LENGTH or not pc.all(pc.string_is_ascii(texts)).as_py():
        return None
    offsets = texts.offset, texts.offset + len(texts)
    ends = memoryview(texts.buffers()[1]).cast("i")
    characters = texts.buffers()[2].to_pybytes()[ends[offsets[0]] : ends[offsets[1]]]
    return texts if len(characters.translate(None, _ASCII_SPACE)) == len(characters) else None


def _as_counts(numbers: ArrowArray) -> ArrowArray | None:
    """Return `numbers` when `to_count` keeps each as it is."""
    least, most = _bounds(numbers)
    return numbers if 0 <= least <= most <= MAX_COUNT else None


def _as_integers(numbers: ArrowArray) -> ArrowArray | None:
    """Return `numbers` when `to_int` keeps each as it is."""
    return numbers if _bounds(numbers)[0] > _MIN_INT64 else None


def _as_digits(numbers: ArrowArray) -> ArrowArray:
    """Return the text of `numbers`, all words."""
    import pyarrow as pa

    return numbers.cast(pa.string())


def _bounds(numbers: ArrowArray) -> tuple[int, int]:
    import pyarrow.compute as pc

    bounds: Any = pc.min_max(numbers).as_py()
    return bounds["min"], bounds["max"]


_AT_ONCE: Mapping[tuple[Reader, str], Callable[[ArrowArray], ArrowArray | None]] = {
    (to_name, "string"): _as_names,
    (remaining_text, "string"): _as_words,
    (remaining_text, "int64"): _as_digits,
    (to_int, "int64"): _as_integers,
    (to_count, "int64"): _as_counts,
}


def int32_bytes(numbers: ArrowArray) -> bytes:
    """Return the buffer of `numbers`, of 32 bits and without nulls."""
    start, buffer = 4 * numbers.offset, numbers.buffers()[1]
    return b"" if buffer is None else buffer.to_pybytes()[start : start + 4 * len(numbers)]
