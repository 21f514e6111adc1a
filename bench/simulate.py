"""Measure what the intervals and verdicts promise, on simulated traffic: coverage, false alarms, power, false ships.

Every figure goes through `answer_question`, the function behind `/compare`; where replicates are independent they are
asked as cohorts of one question. Seeded; half-widths of 95 % Monte-Carlo intervals stand behind the figures.

    python bench/simulate.py [--size small|full] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from simulated_decisions import decisions, discoveries, mixes, one_of_twelve, sample_ratios
from simulated_figures import Figure
from simulated_looks import any_look, clustered, clustered_looks, one_look

SEED = 20261123

SCENARIOS: tuple[Callable[[np.random.Generator, int], Iterator[Figure]], ...] = (
    one_look,
    clustered,
    any_look,
    clustered_looks,
    discoveries,
    decisions,
    one_of_twelve,
    mixes,
    sample_ratios,
)
SIZES = {"small": 60, "full": 400}


def main() -> None:
    """Run every scenario, print the table, and exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--only", help="part of a scenario's name")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    figures: list[Figure] = []
    for number, scenario in enumerate(SCENARIOS):
        if options.only and options.only not in scenario.__name__:
            continue
        begun = time.process_time()
        made = list(scenario(np.random.default_rng([SEED, number]), SIZES[options.size]))
        print_figures(made, time.process_time() - begun, is_first=not figures)
        figures += made
    if options.json:
        options.json.write_text(json.dumps([vars(figure) | {"is_met": figure.is_met} for figure in figures], indent=1))
    missed = [figure.name for figure in figures if not figure.is_met]
    print(
        f"\n{len(figures) - len(missed)} of {len(figures)} within their targets"
        + (f"; missed: {missed}" if missed else "")
    )
    raise SystemExit(1 if missed else 0)


def print_figures(figures: Sequence[Figure], seconds: float, *, is_first: bool) -> None:
    """Print a Markdown table's rows, and what they cost."""
    if is_first:
        print("| what | measured | target | replicates |\n|---|---|---|---|")
    for figure in figures:
        target = "" if (figure.low, figure.high) == (0.0, 1.0) else _target(figure)
        mark = "" if figure.is_met else " **missed**"
        measured = f"{figure.share:.1%} ± {figure.half_width:.1%}"
        told = f"{figure.section}: {figure.name}"
        print(f"| {told} | {measured} | {target}{mark} | {figure.replicates:,} |", flush=True)
    print(f"<!-- {figures[0].section}: {seconds:.1f} s of CPU -->", flush=True)


def _target(figure: Figure) -> str:
    if figure.low == 0.0:
        return f"at most {figure.high:.1%}"
    return f"at least {figure.low:.0%}" if figure.high == 1.0 else f"{figure.low:.0%} to {figure.high:.0%}"


if __name__ == "__main__":
    main()
