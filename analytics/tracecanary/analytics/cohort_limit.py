"""How many cohorts an answer shows. Pure.

Every cohort is judged, and counts among those that a loss must stand out from, shown or not: what is shown changes no
number and no verdict. Shown are those with the most traces of both arms, whatever came of them, and beside them those
that must stay on the base, the largest first, up to as many again.
"""

from __future__ import annotations

from collections.abc import Collection

from tracecanary.analytics.answer import Answer, ArmCounts, CohortAnswer, NotShown, Paired, Part, Verdict


def limited(answer: Answer, most: int) -> Answer:
    """Leave out the smaller cohorts of an answer, and tell how many; `answer` may lack some already.

    Args:
        answer: With as many cohorts as are known.
        most: Cohorts shown for their size.
    """
    if len(answer.cohorts) <= most:
        return answer
    by_size = sorted(answer.cohorts, key=lambda one: (-_traces(one), one.cohort))
    harmed = [one for one in by_size[most:] if one.verdict is Verdict.ROLL_BACK]
    kept = {one.cohort for one in (*by_size[:most], *harmed[:most])}
    hidden = [one for one in answer.cohorts if one.cohort not in kept]
    if not hidden:
        return answer
    before = answer.overall.not_shown
    not_shown = _added(hidden, before)
    reasons = [reason for reason in answer.overall.reasons if before is None or reason != notice(before)]
    overall = {
        "not_shown": not_shown,
        "reasons": [*reasons, notice(not_shown)],
        "findings": [one for one in answer.overall.findings if one.cohort is None or one.cohort in kept],
    }
    routing = answer.routing
    # The base keeps whoever loses, shown or not; a candidate that is rolled back goes nowhere, which the verdict tells.
    left = {one.cohort for one in hidden if one.verdict is not Verdict.ROLL_BACK}
    lists = {
        "candidate": [name for name in routing.candidate if name in kept],
        "base": [name for name in routing.base if name not in left],
        "unverified": [name for name in routing.unverified if name in kept],
    }
    left_out = sum(map(len, (routing.candidate, routing.base, routing.unverified))) - sum(map(len, lists.values()))
    return answer.model_copy(
        update={
            "overall": answer.overall.model_copy(update=overall),
            "cohorts": [one for one in answer.cohorts if one.cohort in kept],
            "routing": routing.model_copy(update={**lists, "not_listed": routing.not_listed + left_out}),
            "paired": None if answer.paired is None else _of_cohorts(answer.paired, kept),
        }
    )


def notice(not_shown: NotShown) -> str:
    """Say what an answer leaves out."""
    losing = f"; {not_shown.losing:,} of them lose, and stay on the base" if not_shown.losing else ""
    return (
        f"{not_shown.cohorts:,} smaller cohorts with {not_shown.weight:.1%} of the compared traces are judged, but not"
        f" shown{losing}: ask for more with max_cohorts, or for one with cohort"
    )


def _traces(cohort: CohortAnswer) -> int:
    return cohort.traces.base + cohort.traces.candidate


def _added(hidden: Collection[CohortAnswer], before: NotShown | None) -> NotShown:
    known = before or NotShown(cohorts=0, traces=ArmCounts(base=0, candidate=0), weight=0.0, losing=0)
    return NotShown(
        cohorts=known.cohorts + len(hidden),
        traces=ArmCounts(
            base=known.traces.base + sum(one.traces.base for one in hidden),
            candidate=known.traces.candidate + sum(one.traces.candidate for one in hidden),
        ),
        weight=known.weight + sum(one.weight for one in hidden),
        losing=known.losing + sum(one.verdict is Verdict.ROLL_BACK for one in hidden),
    )


def _of_cohorts(paired: Paired, kept: Collection[str]) -> Paired:
    def part(of: Part | None) -> Part | None:
        return of and of.model_copy(update={"cohorts": [one for one in of.cohorts if one.cohort in kept]})

    rows = [row for row in paired.rows if row.cohort is None or row.cohort in kept]
    return paired.model_copy(update={"rows": rows, "held_out": part(paired.held_out), "live": part(paired.live)})
