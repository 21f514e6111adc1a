"""Telling the trace which cohort, variant and pair a request belongs to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context

from tracecanary.collector import attributes as names

_logger = logging.getLogger(__name__)
# Baggage travels in HTTP headers, and a remote caller can forge it: short printable values only.
MAX_BAGGAGE_LENGTH = 256
# Values that were warned of, by their digest; of more than these nothing is told.
_MOST_TOLD = 100
_told: set[tuple[str, int | str]] = set()


def is_valid_baggage_value(value: object) -> bool:
    """Tell whether `value` may be a cohort, variant or pair id: printable text of 1 to 256 characters."""
    return isinstance(value, str) and 0 < len(value) <= MAX_BAGGAGE_LENGTH and value.isprintable()


@contextmanager
def canary_context(
    *, cohort: str | None = None, variant: str | None = None, pair_id: str | None = None
) -> Iterator[None]:
    """Mark everything traced inside, here and in called services, with its cohort, variant and pair.

    The values travel as OpenTelemetry baggage and are set on the current span too, since the root span usually starts
    before the application knows the cohort. Works around `await`. A value that is no printable text of 1 to 256
    characters is left out with a warning, once a value: telemetry must not fail a request.

    Args:
        cohort: Segment fixed before the model runs, such as a tenant, a plan or a locale.
        variant: Arm of the rollout, as the feature flag names it.
        pair_id: Joins the base's and the candidate's answer to the same request.
    """
    token = None
    try:
        token = context.attach(
            _marked({names.RELEASE_COHORT: cohort, names.RELEASE_VARIANT: variant, names.RELEASE_PAIR_ID: pair_id})
        )
    except Exception:
        _logger.debug("a request could not be marked", exc_info=True)
    try:
        yield
    finally:
        if token is not None:
            context.detach(token)


def _warn_once(name: str, value: object) -> None:
    """Tell of a value that is left out, once: an application gives it with every request. It may be private."""
    told = (name, hash(value) if isinstance(value, str) else type(value).__name__)
    if told in _told or len(_told) >= _MOST_TOLD:
        return
    _told.add(told)  # two threads at once may both tell, which does no harm
    kind = f"{len(value)} characters of text" if isinstance(value, str) else f"a {type(value).__name__}"
    _logger.warning(
        "%s was left out: it must be printable text of 1 to %d characters, and is %s. This is told once",
        name,
        MAX_BAGGAGE_LENGTH,
        kind,
    )


def _marked(given: Mapping[str, str | None]) -> Context:
    """Mark the current span with what of `given` is valid; return the current context with it as baggage."""
    span = trace.get_current_span()
    marked = context.get_current()
    for name, value in given.items():
        if value is None:
            continue
        if not is_valid_baggage_value(value):
            _warn_once(name, value)
            continue
        marked = baggage.set_baggage(name, value, marked)
        # What the span was given first stays: a loop over tenants inside one span names no single one.
        if name not in (getattr(span, "attributes", None) or {}):
            span.set_attribute(name, value)
    return marked
