"""The evaluations that spans carry, collected while the spans become a table. Pure.

Few spans carry any, and the others must not pay for it. Whether attributes may hold one is told by their names, once
for all spans of one shape; spans with an evaluation event are read one by one anyway.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tracecanary.collector.attributes import EVALUATION_EVENT
from tracecanary.collector.captured import is_trace_and_span_id
from tracecanary.collector.conventions.evaluation import EVALUATOR_KINDS, EVALUATOR_OUTPUT
from tracecanary.collector.evaluations import (
    EvaluationRow,
    evaluation_forms,
    evaluation_row,
    is_evaluator_span,
    read_evaluations,
)
from tracecanary.collector.passing import NO_RULES, PassRules

_logger = logging.getLogger(__name__)
# Places of the values in a captured span, or in a record of the same layout.
_TRACE_ID, _SPAN_ID, _NAME, _END, _ATTRIBUTES, _EVENTS = 0, 1, 3, 6, 8, 9
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

    def __init__(self, *, received_ns: int, rules: PassRules = NO_RULES, keeps_explanations: bool = False) -> None:
        self.rows: list[EvaluationRow] = []
        self._received_ns = received_ns
        self._rules = rules
        self._keeps_explanations = keeps_explanations

    def read(self, groups: Iterable[Sequence[Sequence[Any]]], single: Iterable[Sequence[Any]]) -> None:
        """Collect the evaluations of spans.

        Args:
            groups: Spans of the same attribute names each, without evaluation events.
            single: Spans of any kind.
        """
        for group in groups:
            names = tuple(group[0][_ATTRIBUTES])
            if evaluation_forms(names):
                self._read_all(group)
            elif EVALUATOR_OUTPUT in names and any(kind in names for kind in EVALUATOR_KINDS):
                self._read_all([span for span in group if is_evaluator_span(span[_ATTRIBUTES])])
        self._read_all(single)

    def _read_all(self, spans: Iterable[Sequence[Any]]) -> None:
        for span in spans:
            try:
                self._read_span(span)
            except Exception:
                _logger.debug("the evaluations of a span could not be read", exc_info=True)

    def _read_span(self, span: Sequence[Any]) -> None:
        attributes, end_ns = span[_ATTRIBUTES], span[_END]
        if evaluation_forms(tuple(attributes)) or is_evaluator_span(attributes):
            self._add(span, attributes, end_ns, default_name=_evaluator_name(span))
        for event in span[_EVENTS][:_MAX_EVENTS] if span[_EVENTS] else ():
            if event[0] == EVALUATION_EVENT:
                self._add(span, event[1], (event[2] if len(event) > 2 else 0) or end_ns)

    def _add(
        self, span: Sequence[Any], attributes: Mapping[str, Any], time_ns: float, default_name: str | None = None
    ) -> None:
        trace_id, span_id = span[_TRACE_ID], span[_SPAN_ID]
        if not is_trace_and_span_id(trace_id, span_id):
            return  # the span itself can't be stored either
        for evaluation in read_evaluations(attributes, rules=self._rules, default_name=default_name):
            row = evaluation_row(
                evaluation,
                trace_id=trace_id.to_bytes(16).hex(),
                span_id=span_id.to_bytes(8).hex(),
                time_ns=min(max(int(time_ns or 0), 0), _MAX_TIME_NS) or self._received_ns,
                received_ns=self._received_ns,
                keeps_explanation=self._keeps_explanations,
            )
            self.rows.append(row)


def _evaluator_name(span: Sequence[Any]) -> str | None:
    """Return the name of an evaluator's span; other spans are no evaluator's name."""
    kinds = (span[_ATTRIBUTES].get(name) for name in EVALUATOR_KINDS)
    return str(span[_NAME]).removeprefix(_NAME_PREFIX) if "EVALUATOR" in kinds else None
