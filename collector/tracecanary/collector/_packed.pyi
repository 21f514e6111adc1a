# Packed spans, by compiled code: see `_packed.c`. The module is missing where it could not be compiled.
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeAlias

# Values of many rows: those that differ, and the place of each row's among them in 32 bits, None when there is one.
# Where most differ: for texts, offsets in 32 bits and characters; for integers None and 64 bits each.
Column: TypeAlias = tuple[list[Any] | bytes | None, bytes | None]
# Shape; rows; trace ids, span ids and those of parents as digits; a bit for each row that has a parent, None when all
# have; starts and ends in 64 bits; and the name, trace state, status, whether it is sampled, dropped attributes, and
# each attribute.
Columns: TypeAlias = tuple[int, int, bytes, bytes, bytes, bytes | None, bytes, bytes, list[Column]]

class Packer:
    def __new__(cls, *, kept_events: frozenset[str]) -> Self: ...
    def pack(self, span: object, /) -> bytes | None: ...
    def learn(
        self, attributes: Mapping[str, object], kind: object, scope: object, resource: object, number: int, /
    ) -> bool: ...

# And, as they are, those that were packed in another way.
def columns(packed: Sequence[Any], /) -> tuple[list[Columns], list[Any]]: ...

# Of OTLP requests: spans by columns; for each shape the names of attributes, kind, places of resource and scope;
# resources and scopes, serialised; spans apart, each a place of resource and scope, then request, start and size;
# evaluation events, each a shape, a row of it, then request, start and size; spans of each request. None leaves all to
# another decoder.
def scan(
    requests: tuple[bytes, ...], kept_events: tuple[bytes, ...], evaluation_event: bytes, /
) -> (
    tuple[
        list[Columns],
        list[tuple[tuple[str, ...], int, int, int]],
        list[bytes],
        list[bytes],
        list[tuple[int, int, int, int, int]],
        list[tuple[int, int, int, int, int]],
        list[int],
    ]
    | None
): ...
