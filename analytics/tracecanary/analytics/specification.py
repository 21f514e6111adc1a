"""The rules behind an answer, and their name."""

from __future__ import annotations

import dataclasses
from typing import Any

from tracecanary.analytics import assessment, checks, cluster_counts, cost_check, gathering, judging, verdict
from tracecanary.analytics.freezing import hash_of
from tracecanary.analytics.question import Question
from tracecanary.analytics.statistics.means import MAX_SKEWNESS
from tracecanary.analytics.statistics.standardise import GROUPS, MIN_GROUPS

# Any change of a method that changes answers gets a new number, and so a new spec_hash.
_METHOD_VERSION = 4


def spec_hash(question: Question, *, derivation: str = "") -> str:
    """Name the rules that decide the answer: the same hash means the same rules. 16 hex digits."""
    return hash_of(rules(question, derivation=derivation))


def rules(question: Question, *, derivation: str = "") -> dict[str, Any]:
    """Return all that decides how `question` is answered, but the traces.

    Args:
        question: What is asked.
        derivation: Names what the facts depend on beside the traces, such as prices: caps fixed under others would
            squeeze what a trace costs now.
    """
    selection, policy = question.selection, question.policy
    # A window that moves, as a dashboard's does, is the same comparison; one look is at one window.
    window = [selection.from_time, selection.to_time] if question.mode == "fixed" else []
    return {
        "method": _METHOD_VERSION,
        "derivation": derivation,
        "arms": list(selection.arms),
        "arm_by": selection.arm_by,
        "cohort_by": list(selection.cohort_by),
        "cohorts": sorted(selection.cohorts),
        "routes": sorted(selection.routes),
        "evaluators": sorted(question.evaluators),
        "window": [time.isoformat() if time else None for time in window],
        "mode": question.mode,
        "at_n": question.at_n,
        "confidence": question.confidence,
        "planned_traces": policy.planned_traces,
        "candidate_share": policy.candidate_share,
        "metrics": [dataclasses.asdict(metric) for metric in policy.metrics],
        "evaluator_rules": {name: dataclasses.asdict(rule) for name, rule in sorted(policy.evaluators.items())},
        "groups": [GROUPS, MIN_GROUPS, gathering.MIN_SHARED_CLUSTERS, cluster_counts.MAX_TRACES_PER_CLUSTER],
        "caps": [
            gathering.CAP_QUANTILE,
            gathering.MIN_TRACES_FOR_CAP,
            assessment.TAIL_MARGIN,
            assessment.MAX_BASE_TAIL,
        ],
        "evaluator_share": judging.MIN_EVALUATOR_SHARE,
        "gates": [
            assessment.MIN_TRACES,
            assessment.MIN_EVENTS,
            assessment.MAX_COVERAGE_GAP,
            assessment.MAX_GROUP_SHARE,
            MAX_SKEWNESS,
        ],
        "checks": [
            checks.MIX_P_VALUE,
            checks.SAMPLE_RATIO_LOG_E,
            checks.MAX_DROPPED_SHARE,
            checks.MAX_CONTAMINATED_SHARE,
            checks.MAX_FACTOR_SHIFT,
            checks.MAX_WEIGHT_RATIO,
            cost_check.MAX_SOURCE_SHIFT,
        ],
        "weights": [verdict.MAX_UNVERIFIED_WEIGHT, verdict.MAX_HARMED_WEIGHT],
    }
