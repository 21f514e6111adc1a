"""Whether retention has dropped some of what a question is about. Pure."""

from __future__ import annotations

from tracecanary.analytics.answer import Check, Figures
from tracecanary.analytics.evidence import Expiry, LeftFacts


def check_retention(expiry: Expiry | None, left: LeftFacts | None) -> Check:
    """Tell what is known by whole days alone, as exactly as other days are, and what may be missing."""
    figures: Figures = {}
    told: list[str] = []
    if left is not None:
        figures |= {"known_from": left.before.isoformat(), "left_in": list(left.folders)}
        folders = ", ".join(f"derived/{name}" for name in left.folders)
        told.append(
            f"traces before {left.before:%Y-%m-%dT%H:%MZ} may be missing: what outlived its spans was left in "
            f"{folders}, whose columns this version can't read; tracecanary doctor says what to do"
        )
    if expiry is not None:
        figures |= _figures_of(expiry)
        told += _told_of(expiry)
    return Check(state="warning" if told else "ok", reason="; ".join(told) or None, figures=figures, is_blocking=False)


def _figures_of(expiry: Expiry) -> Figures:
    times = ("facts_from", "rollups_from", "counted_from", "counted_to")
    stated = {name: time.isoformat() if (time := getattr(expiry, name)) else None for name in times}
    return {**stated, "uncapped": list(expiry.uncapped)}


def _told_of(expiry: Expiry) -> list[str]:
    known = f"traces before {expiry.facts_from:%Y-%m-%d} are known by their sums of a day alone"
    told = [f"{known}: pairs and examples are of later ones"]
    if expiry.rollups_from is not None:
        told.append(f"nothing is known of those before {expiry.rollups_from:%Y-%m-%d}")
    for edge, counted in (("from", expiry.counted_from), ("to", expiry.counted_to)):
        if counted is not None:
            told.append(f"'{edge}' cuts such a day: counted {edge} {counted:%Y-%m-%dT%H:%MZ}")
    if expiry.uncapped:
        told.append(f"{', '.join(expiry.uncapped)} can't be capped")
    return told
