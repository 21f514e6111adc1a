"""Whether an evaluation passed: what it says itself, else its label, else its score against a threshold. Pure.

Unscored is null, never failed: without a label that is known, a boolean or a threshold, nobody can tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tracecanary.collector.rules import EvaluatorRule

PASSING_LABELS: Final = frozenset(
    {"pass", "passed", "correct", "true", "yes", "ok", "relevant", "up", "thumbs_up", "positive"}
)
FAILING_LABELS: Final = frozenset(
    {
        "fail",
        "failed",
        "incorrect",
        "false",
        "no",
        "irrelevant",
        "not_relevant",
        "down",
        "thumbs_down",
        "negative",
    }
)
_SEPARATORS = re.compile(r"[\s\-]+")


# By the name of the evaluator.
EvaluatorRules = Mapping[str, EvaluatorRule]
NO_RULES: EvaluatorRules = {}
_NO_RULE = EvaluatorRule()


def derive_passed(
    *,
    passed: bool | None = None,
    label: str | None = None,
    score: float | bool | None = None,
    rule: EvaluatorRule | None = None,
) -> bool | None:
    """Return the verdict of an evaluation; None when it stays unscored.

    Args:
        passed: The evaluator's own verdict, which stays as it is.
        label: Its label.
        score: Its score in its own scale; a boolean is a verdict.
        rule: The thresholds and labels configured for it.
    """
    if passed is not None:
        return passed
    rule = rule or _NO_RULE
    if label is not None:
        by_label = _passed_by_label(normalised_label(label), rule)
        if by_label is not None:
            return by_label
    if score is None or isinstance(score, bool):
        return score
    return _passed_by_score(score, rule)


def normalised_label(label: str) -> str:
    """Return `label` in lower case, its words joined with underscores."""
    return _SEPARATORS.sub("_", label.strip().lower())


def _passed_by_label(label: str, rule: EvaluatorRule) -> bool | None:
    if rule.passing_labels:
        return label in {normalised_label(passing) for passing in rule.passing_labels}
    if label in PASSING_LABELS:
        return True
    return False if label in FAILING_LABELS else None


def _passed_by_score(score: float, rule: EvaluatorRule) -> bool | None:
    at_least, at_most = rule.pass_at_least, rule.pass_at_most
    if at_least is None and at_most is None:
        return None
    return (at_least is None or score >= at_least) and (at_most is None or score <= at_most)
