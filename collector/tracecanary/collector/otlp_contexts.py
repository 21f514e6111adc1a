"""Resources and scopes of OTLP, serialised ones read once and kept: the normaliser knows a resource by its identity."""

from __future__ import annotations

import functools
from typing import Any

from tracecanary.collector.holdable import MAX_HELD_CHARACTERS
from tracecanary.collector.otlp_values import protobuf_attributes

_MAX_RESOURCES = 512


def read_scope(serialised: bytes) -> tuple[str, str]:
    """Return name and version of an `InstrumentationScope`.

    Raises:
        DecodeError: It is damaged.
    """
    return _held_scope(serialised) if len(serialised) <= MAX_HELD_CHARACTERS else _scope(serialised)


def read_resource(serialised: bytes) -> dict[str, Any]:
    """Return the attributes of a `Resource`.

    Raises:
        DecodeError: It is damaged.
    """
    return _held_resource(serialised) if len(serialised) <= MAX_HELD_CHARACTERS else _resource(serialised)


@functools.lru_cache(maxsize=_MAX_RESOURCES)
def _held_scope(serialised: bytes) -> tuple[str, str]:
    return _scope(serialised)


def _scope(serialised: bytes) -> tuple[str, str]:
    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope

    scope = InstrumentationScope.FromString(serialised)
    return scope.name, scope.version


@functools.lru_cache(maxsize=_MAX_RESOURCES)
def _held_resource(serialised: bytes) -> dict[str, Any]:
    return _resource(serialised)


def _resource(serialised: bytes) -> dict[str, Any]:
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

    return protobuf_attributes(Resource.FromString(serialised).attributes)
