"""Which traffic is the canary's: told by attributes and baggage, remembered for the trace."""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from tracecanary.collector.attributes import CANARY_BAGGAGE
from tracecanary.collector.coercion import to_text
from tracecanary.schema import ConfigurationError

_logger = logging.getLogger(__name__)
# The attributes of a span, then the baggage of its request.
Predicate: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, object]], bool]
# A name that must be there; names with the value, or one of the values, that each must have (None: any value), of
# which one is enough; or a predicate.
Select: TypeAlias = str | Mapping[str, object] | Predicate
# About 1 MB. A trace that is forgotten is decided on anew by its next span.
MAX_REMEMBERED_TRACES = 10_000


def predicate(select: Select) -> Predicate:
    """Return `select` as a predicate.

    Raises:
        ConfigurationError: It is none of the forms of `Select`.
    """
    if callable(select):
        return select
    if isinstance(select, str) and select:
        return _has_any({select: None})
    if isinstance(select, Mapping) and select and all(isinstance(name, str) for name in select):
        return _has_any(select)
    raise ConfigurationError(
        [f"select is {select!r}, but must be a name, a mapping of names to values, or a function of two mappings"]
    )


def has_canary_mark(attributes: Mapping[str, Any], baggage: Mapping[str, object]) -> bool:
    """Tell whether cohort, variant or pair id is set, as `canary_context` does."""
    return any(name in attributes or name in baggage for name in CANARY_BAGGAGE)


def is_selected(matches: Predicate, attributes: Mapping[str, Any], baggage: Mapping[str, object]) -> bool:
    """Tell what the predicate says; one that fails selects, since losing the canary's traffic is the worse error."""
    try:
        return bool(matches(attributes, baggage))
    except Exception as error:  # noqa: BLE001  an exception here would reach the application
        _logger.debug("select failed, so the span is kept: %r", error)
        return True


class RememberedTraces:
    """The last trace ids that were selected. Unlocked: each step is atomic, and to forget one too many does no harm."""

    def __init__(self, limit: int = MAX_REMEMBERED_TRACES) -> None:
        self._limit = limit
        # To take the oldest out of a plain dict passes over the places of all that were taken out before: 8 µs against
        # 0.6 µs, on the application's thread.
        self._trace_ids: OrderedDict[int, None] = OrderedDict()

    def __contains__(self, trace_id: int) -> bool:
        return trace_id in self._trace_ids

    def add(self, trace_id: int) -> None:
        """Remember `trace_id`, and forget the oldest when there are too many."""
        self._trace_ids[trace_id] = None
        if len(self._trace_ids) > self._limit:
            with contextlib.suppress(KeyError):  # emptied by others just now
                self._trace_ids.popitem(last=False)


def _has_any(wanted: Mapping[str, object]) -> Predicate:
    allowed = {name: _values(value) for name, value in wanted.items()}

    def matches(attributes: Mapping[str, Any], baggage: Mapping[str, object]) -> bool:
        for name, values in allowed.items():
            found = attributes[name] if name in attributes else baggage.get(name)
            if found is not None and (values is None or found in values or _as_text(found) in values):
                return True
        return False

    return matches


def _as_text(value: object) -> object:
    """Return a number or boolean as text: baggage and the environment know nothing else."""
    return to_text(value) if isinstance(value, int | float) else value


def _values(value: object) -> Collection[object] | None:
    if value is None:
        return None
    return tuple(value) if isinstance(value, list | tuple | set | frozenset) else (value,)
