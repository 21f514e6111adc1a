"""A sampler that lets the comparison see all of the canary's traffic while exporters see their sample of it."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Span
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes

from tracecanary.collector.selection import Select, has_canary_mark, is_selected, predicate


class CanarySampler(Sampler):
    """Records canary traffic that `delegate` would drop, without marking it as sampled.

    `TracerProvider(sampler=CanarySampler(ParentBased(TraceIdRatioBased(0.05))))`: exporters behind a
    `BatchSpanProcessor` still get 5 %, since they skip spans that are not sampled; `CanarySpanProcessor` gets all of
    the canary's. Such spans are stored with `is_sampled` false. Traffic for which this holds is complete: each of its
    traces counts once, sampled or not, and `sampling_probability` must not be used to weight it.

    A span is the canary's when `select` says so, or when its parent in this process was recorded for that reason, so
    that a trace is not torn. What is decided is not sent to other services: baggage is, and decides there.

    Args:
        delegate: The sampler whose decision stands for everybody else.
        select: As for `CanarySpanProcessor`. Default: cohort, variant or pair id is set, as `canary_context` does.

    Raises:
        ConfigurationError: `select` has none of the forms it may have.
    """

    def __init__(self, delegate: Sampler, *, select: Select | None = None) -> None:
        self._delegate = delegate
        self._select = has_canary_mark if select is None else predicate(select)

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Return the delegate's decision, but RECORD_ONLY for canary traffic that it drops."""
        result = self._delegate.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)
        if result.decision is not Decision.DROP or not self._is_canary(parent_context, attributes):
            return result
        # A result that drops carries no attributes: those of the span are the ones to keep.
        return SamplingResult(Decision.RECORD_ONLY, attributes, result.trace_state)

    def get_description(self) -> str:
        """Return the name of this sampler and its delegate's."""
        return f"CanarySampler{{{self._delegate.get_description()}}}"

    def _is_canary(self, parent_context: Context | None, attributes: Attributes) -> bool:
        # A dropped parent is a NonRecordingSpan; one of the SDK that is not sampled was recorded for the canary.
        parent = get_current_span(parent_context)
        if isinstance(parent, Span) and not parent.get_span_context().trace_flags.sampled:
            return True
        return is_selected(self._select, attributes or {}, baggage.get_all(parent_context))
