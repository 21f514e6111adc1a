"""Whether the costs of the arms can be compared: what has no price, and where costs are from. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tracecanary.analytics.answer import CellState, Check, Figures, MetricRow
from tracecanary.analytics.evidence import ArmSide, CostGap, Tally

COST_METRIC = "cost_per_trace"
# Reported and computed costs of a model that are closer are the same: rates are rounded, and a few calls are cached.
MAX_COST_GAP = 0.05
# A few stray calls with a cost from elsewhere move no mean.
MAX_SOURCE_SHIFT = 0.05
_MODELS_TOLD = 5
_NO_SOURCE = "(none)"
_SOURCE_WORDS = {
    "file": "from the price file",
    "reported": "reported by the instrumentation",
    "genai-prices": "computed from published prices",
    "mixed": "of several sources",
}


def check_costs(base: ArmSide, candidate: ArmSide, gaps: Sequence[CostGap], rows: Sequence[MetricRow]) -> Check:
    """Name models without a price, costs from different sources, and models reported at another cost than computed.

    Only costs from different sources are blocking, and only where the candidate would ship by them.
    """
    figures: Figures = {}
    problems = []
    for name, side in (("base", base), ("candidate", candidate)):
        figures[f"{name}_unpriced_models"] = sorted(side.unpriced_models)
        figures[f"{name}_cost_sources"] = sorted(source for source in side.cost_sources if source != _NO_SOURCE)
        if side.unpriced_models:
            problems.append(f"no price for {unpriced_text(side.unpriced_models)} of the {name}'s {side.traces} traces")
    apart = _sources_apart(base.cost_sources, candidate.cost_sources)
    if apart is not None:
        problems.append(f"costs are {apart}: give both arms a price in the price file to compare like with like")
    wide = [gap for gap in gaps if abs(gap.computed_usd - gap.reported_usd) > MAX_COST_GAP * gap.reported_usd]
    figures["reported_cost_differs"] = [gap.model for gap in wide]
    problems += [
        f"{gap.model}: {gap.reported_usd:.4g} USD reported, {gap.computed_usd:.4g} computed for {gap.calls} calls"
        for gap in wide[:_MODELS_TOLD]
    ]
    is_shipped_by_cost = any(
        row.metric == COST_METRIC and row.role == "guardrail" and row.state in {CellState.SAFE, CellState.BETTER}
        for row in rows
    )
    return Check(
        state="warning" if problems else "ok",
        reason="; ".join(problems) or None,
        is_blocking=apart is not None and is_shipped_by_cost,
        figures=figures,
    )


def unpriced_text(models: Tally) -> str:
    """Name models without a price, each with its traces: `my-ft in 140, other in 3`."""
    ordered = sorted(models.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{model} in {traces}" for model, traces in ordered[:_MODELS_TOLD])
    return told if len(ordered) <= _MODELS_TOLD else f"{told}, and {len(ordered) - _MODELS_TOLD} more models"


def _sources_apart(base: Tally, candidate: Tally) -> str | None:
    """Say where the priced traces of the arms have their costs from, if that differs; None if it does not."""
    shares = []
    for tally in (base, candidate):
        priced = {source: traces for source, traces in tally.items() if source != _NO_SOURCE}
        total = sum(priced.values())
        if not total:
            return None
        shares.append({source: traces / total for source, traces in priced.items()})
    sources = sorted({*shares[0], *shares[1]})
    shift = sum(abs(shares[0].get(source, 0.0) - shares[1].get(source, 0.0)) for source in sources) / 2
    if shift <= MAX_SOURCE_SHIFT:
        return None
    told = [" and ".join(_SOURCE_WORDS.get(source, source) for source in sorted(share)) for share in shares]
    return f"{told[0]} in the base, {told[1]} in the candidate"
