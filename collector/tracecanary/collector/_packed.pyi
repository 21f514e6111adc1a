# Packed spans, by compiled code: see `_packed.c`. The module is missing where it could not be compiled.
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeAlias

# Shape; rows; the place of each row among the packed spans, in 32 bits; trace ids, span ids and those of parents as
# digits; a bit for each row that has a parent, None when all have; starts and ends in 64 bits; and for the name,
# trace state, status, whether it is sampled, dropped attributes, and each attribute: the values that differ, and the
# place of each row's among them in 32 bits, None when there is one.
Columns: TypeAlias = tuple[
    int, int, bytes, bytes, bytes, bytes, bytes | None, bytes, bytes, list[tuple[list[Any], bytes | None]]
]

class Packer:
    def __new__(cls, *, kept_events: frozenset[str]) -> Self: ...
    def pack(self, span: object, /) -> bytes | None: ...
    def learn(
        self, attributes: Mapping[str, object], kind: object, scope: object, resource: object, number: int, /
    ) -> bool: ...

# And, as they are, those that were packed in another way.
def columns(packed: Sequence[Any], /) -> tuple[list[Columns], list[Any]]: ...
def unpack(packed: bytes, /) -> tuple[Any, ...]: ...
