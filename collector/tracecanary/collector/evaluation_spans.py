"""The evaluations that spans carry, collected while the spans become a table. Pure.

Few spans carry any, and the others must not pay for it. Whether attributes may hold one is told by their names, once
for all spans of one shape; spans with an evaluation event come one by one, or with their group as `judged`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from tracecanary.collector.attributes import EVALUATION_EVENT
from tracecanary.collector.captured import CapturedSpan
from tracecanary.collector.conventions.evaluation import EVALUATOR_KIND, EVALUATOR_KINDS, EVALUATOR_OUTPUT
from tracecanary.collector.evaluations import (
    EvaluationRow,
    evaluation_forms,
    evaluation_row,
    is_evaluator_span,
    read_evaluations,
)
from tracecanary.collector.passing import NO_RULES, EvaluatorRules
from tracecanary.collector.sent_spans import is_sent_row
from tracecanary.collector.shaped_spans import FIRST_VALUE, SpanColumnGroup, SpanGroup, captured_span

_logger = logging.getLogger(__name__)
_MAX_TIME_NS = 2**63 - 1
# The SDK keeps 128 events; what comes from elsewhere must not cost more.
_MAX_EVENTS = 1_024
_NAME_PREFIX = "eval."


class SpanEvaluations:
    """Collects rows of the evaluations table.

    Args:
        received_ns: When the spans came here, ns since the epoch.
        rules: Thresholds of evaluators, by name.
        keeps_explanations: Whether explanations are stored, which may quote prompts and completions.
    """

    def __init__(self, *, received_ns: int, rules: EvaluatorRules = NO_RULES, keeps_explanations: bool = False) -> None:
        self.rows: list[EvaluationRow] = []
        self._received_ns = received_ns
        self._rules = rules
        self._keeps_explanations = keeps_explanations

    def read(self, groups: Iterable[SpanGroup | SpanColumnGroup], single: Iterable[CapturedSpan]) -> None:
        """Collect the evaluations of spans: of one shape each, without evaluation events; and of any kind."""
        for group in groups:
            shape = group.shape
            if not isinstance(group, SpanGroup):
                self._read_all(group.judged)
            if evaluation_forms(shape.attributes):
                self._read_all(captured_span(shape, span) for span in group.spans)
            elif EVALUATOR_OUTPUT in shape.attributes:
                places = [index for index, name in enumerate(shape.attributes) if name in EVALUATOR_KINDS]
                self._read_all(
                    captured_span(shape, span)
                    for span in group.spans
                    if any(span[FIRST_VALUE + place] == EVALUATOR_KIND for place in places)
                )
        self._read_all(single)

    def _read_all(self, spans: Iterable[CapturedSpan]) -> None:
        for span in spans:
            try:
                self._read_span(span)
            except Exception:
                _logger.debug("the evaluations of a span could not be read", exc_info=True)

    def _read_span(self, span: CapturedSpan) -> None:
        attributes = span.attributes
        if is_sent_row(attributes):
            return  # its evaluations are sent apart
        if evaluation_forms(tuple(attributes)) or is_evaluator_span(attributes):
            self._add(span, attributes, span.end_ns, default_name=_evaluator_name(span))
        for event in span.events[:_MAX_EVENTS]:
            if event.name == EVALUATION_EVENT:
                self._add(span, event.attributes, event.time_ns or span.end_ns)

    def _add(
        self, span: CapturedSpan, attributes: Mapping[str, Any], time_ns: float, default_name: str | None = None
    ) -> None:
        if not span.is_valid:
            return  # the span can't be stored either
        for evaluation in read_evaluations(attributes, rules=self._rules, default_name=default_name):
            row = evaluation_row(
                evaluation,
                trace_id=span.trace_id.to_bytes(16).hex(),
                span_id=span.span_id.to_bytes(8).hex(),
                time_ns=min(max(int(time_ns or 0), 0), _MAX_TIME_NS) or self._received_ns,
                received_ns=self._received_ns,
                keeps_explanation=self._keeps_explanations,
            )
            self.rows.append(row)


def _evaluator_name(span: CapturedSpan) -> str | None:
    """Return the name of an evaluator's span; other spans are no evaluator's name."""
    kinds = (span.attributes.get(name) for name in EVALUATOR_KINDS)
    return span.name.removeprefix(_NAME_PREFIX) if EVALUATOR_KIND in kinds else None
