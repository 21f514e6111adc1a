"""Held-out answers beside live traffic: the evidence of each, where a question has both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from tracecanary.analytics.evidence import Evidence
from tracecanary.analytics.question import Pairs, Question


def with_parts(evidence: Evidence, question: Question, gather: Callable[[Question], Evidence]) -> Evidence:
    """Add what is known of the traces with and of those without a pair id, if both arms have both.

    Args:
        evidence: Of all traces.
        question: What is asked.
        gather: Reads the evidence of a question from the same snapshot.
    """
    if not evidence.pairs:
        return evidence

    def of(pairs: Pairs) -> Evidence:
        return gather(dataclasses.replace(question, selection=dataclasses.replace(question.selection, pairs=pairs)))

    live = of("without")
    return dataclasses.replace(evidence, held_out=of("with"), live=live) if _has_both_arms(live) else evidence


def _has_both_arms(evidence: Evidence) -> bool:
    return all(sum(getattr(cell, arm).traces for cell in evidence.cells) for arm in ("base", "candidate"))
