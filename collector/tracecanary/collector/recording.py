"""Telling a trace of what no instrumentation sees: resends, fallbacks and the steps of an agent.

The functions write on the current span. They do nothing where none is recorded, and never raise, whatever they are
given: telemetry must not fail a request. Evaluations and feedback are in `recorded_evaluations.py`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from tracecanary.collector import attributes as names

_logger = logging.getLogger(__name__)
MAX_TEXT_LENGTH = 256
_MAX_INT64 = 2**63 - 1
_STEP_KEY = context.create_key("tracecanary-trajectory-step")


class _CountLock:
    """Guards reading a count and writing it back: threads of one request share its span.

    Reentrant, since a signal handler or a finaliser may record in the middle of recording; and new in a forked child,
    whose parent may have held it.
    """

    def __init__(self) -> None:
        self.renew()
        if hasattr(os, "register_at_fork"):  # not on Windows
            os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_counting = _CountLock()


def record_retry(*, count: int | None = None, reason: str | None = None) -> None:
    """Record on the current span that a model call was sent again.

    Without `count`, each call adds one resend; that of the span's model calls in all, if it has several.

    Args:
        count: Resends after the first attempt, in place of what was recorded before.
        reason: Why, such as "rate_limit".
    """
    try:
        span = trace.get_current_span()
        if not span.is_recording():
            return
        with _counting.lock:
            if count is None:
                span.set_attribute(names.RETRY_COUNT, _next_number(span, names.RETRY_COUNT))
            elif _is_number(names.RETRY_COUNT, count):
                span.set_attribute(names.RETRY_COUNT, int(count))
        _set_text(span, names.RETRY_REASON, reason)
    except Exception:
        _logger.debug("a retry could not be recorded", exc_info=True)


def record_fallback(*, from_model: str, to_model: str | None = None, reason: str | None = None) -> None:
    """Record on the current span that another model is asked in place of `from_model`.

    The trace counts for the model asked first, whatever the other one answers.

    Args:
        from_model: Model asked first, by the name that its calls are traced with.
        to_model: Model that is asked instead.
        reason: Why, such as "timeout".
    """
    try:
        span = trace.get_current_span()
        if not span.is_recording():
            return
        span.set_attributes({names.FALLBACK_USED: True})
        _set_text(span, names.FALLBACK_FROM, from_model)
        _set_text(span, names.FALLBACK_TO, to_model)
        _set_text(span, names.FALLBACK_REASON, reason)
    except Exception:
        _logger.debug("a fallback could not be recorded", exc_info=True)


@contextmanager
def trajectory_step(index: int | None = None, name: str | None = None) -> Iterator[None]:
    """Mark the current span, and every span started inside, as one step of an agent's trajectory.

    Works around `await`, and in threads that the OpenTelemetry context is passed on to. It leaves the process in no
    header. A step within a step has its own number and name.

    Args:
        index: Number of the step. Default: one more than the last one marked on the current span, from 1.
        name: Name of the step, such as "plan".
    """
    token = None
    try:
        step = _mark_current_span(index, name)
        if step:
            token = context.attach(context.set_value(_STEP_KEY, step))
    except Exception:
        _logger.debug("a step could not be marked", exc_info=True)
    try:
        yield
    finally:
        if token is not None:
            context.detach(token)


def mark_step(span: Span, parent_context: Context | None) -> None:
    """Set the step that `parent_context` lies in on a span that starts; what the span states itself stays."""
    step = context.get_value(_STEP_KEY, parent_context)
    if isinstance(step, Mapping):
        stated = _attributes(span)
        if names.TRAJECTORY_STEP not in stated and names.TRAJECTORY_STEP_NAME not in stated:
            span.set_attributes(step)


def _mark_current_span(index: int | None, name: str | None) -> dict[str, int | str]:
    span = trace.get_current_span()
    step: dict[str, int | str] = {}
    with _counting.lock:
        if index is None and span.is_recording():
            step[names.TRAJECTORY_STEP] = _next_number(span, names.TRAJECTORY_STEP)
        elif index is not None and _is_number(names.TRAJECTORY_STEP, index):
            step[names.TRAJECTORY_STEP] = int(index)
        if name is not None and _is_text(names.TRAJECTORY_STEP_NAME, name):
            step[names.TRAJECTORY_STEP_NAME] = name
        if span.is_recording():
            span.set_attributes(step)
    return step


def _next_number(span: Span, name: str) -> int:
    last = _attributes(span).get(name)
    return last + 1 if isinstance(last, int) else 1


def _attributes(span: Span) -> Mapping[str, object]:
    # A span of the API can't be read; those that are recorded are the SDK's, and can.
    return getattr(span, "attributes", None) or {}


def _is_number(name: str, value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_INT64:
        return True
    _logger.warning("%s was left out: it must be an integer from 0 on", name)
    return False


def _is_text(name: str, value: object) -> bool:
    if isinstance(value, str) and 0 < len(value) <= MAX_TEXT_LENGTH and value.isprintable():
        return True
    _logger.warning("%s was left out: it must be printable text of 1 to %d characters", name, MAX_TEXT_LENGTH)
    return False


def _set_text(span: Span, name: str, value: str | None) -> None:
    if value is not None and _is_text(name, value):
        span.set_attribute(name, value)
