"""What is no metric, by cohort and arm: what is missing, what else differs, traces worth opening. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tracecanary.analytics.engine import Row
from tracecanary.analytics.evidence import TALLIES, ArmSide, Cell
from tracecanary.analytics.rollup_arrays import Chosen, Flags, Floats, Picked, Places, pick, tally
from tracecanary.analytics.tallies import Cells

EXAMPLES_PER_ARM = 3
_NONE = "(none)"
# The counts of a side and their columns in rollup_groups.
_COUNTS = {
    "traces": "traces",
    "without_root": "without_root",
    "with_dropped_attributes": "with_dropped_attributes",
    "with_lost_spans": "with_lost_spans",
    "sampling_weight_milli": "sampling_weight_milli",
    "with_tokens": "input_tokens_known",
    "with_cost": "with_cost",
    "evaluated": "judged",
    "with_thumbs": "thumbs_known",
}
# Factors that a rollup key tells, and its column.
_FACTOR_COLUMNS = {
    "step_sources": "step_source",
    "releases": "release",
    "prompts": "prompt",
    "routes": "route",
    "environments": "environment",
    "cost_sources": "cost_source",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeyTraces:
    """Rows of rollup_groups of a question, and what they come to by rollup key.

    Args:
        rows: With codes that are each key's place in `selected`, plus its period times their number.
        selected: Rollup keys of the question.
        keys: Those that have traces, by key.
        arms: Names of the arms of `selected`.
    """

    rows: Picked
    selected: Sequence[int]
    keys: Mapping[int, Row]
    sums: Mapping[str, Floats]

    @classmethod
    def of(cls, chosen: Sequence[Chosen], keys: Mapping[int, Row]) -> KeyTraces:
        """Read rollup_groups for the rollup keys `keys`."""
        selected = sorted(keys)
        rows = pick("rollup_groups", chosen, {key: place for place, key in enumerate(selected)}, per_period=len(keys))
        place = rows.codes % max(len(keys), 1)
        names = ("retried", "fell_back", "escalation_known", *_COUNTS.values())
        sums = {name: tally(place, rows[name], (len(keys),)) for name in names} if keys else {}
        living = {key for key, traces in zip(selected, sums.get("traces", ()), strict=True) if traces > 0}
        return cls(rows=rows, selected=selected, keys={key: keys[key] for key in selected if key in living}, sums=sums)

    def cohorts(self) -> list[str]:
        """Return the names of the cohorts that have traces, ascending."""
        return sorted({row["cohort_name"] for row in self.keys.values()})

    def sum_of(self, name: str) -> float:
        """Add up a column over all keys."""
        return float(sum(self.sums[name])) if self.sums else 0.0

    def paired(self) -> float:
        """Count the traces that have a pair id."""
        traces = zip(self.selected, self.sums.get("traces", ()), strict=True)
        return float(sum(count for key, count in traces if key in self.keys and self.keys[key]["has_pair_id"]))

    def fewest(self) -> float:
        """Return the traces of the arm that has fewer; 0 if one has none."""
        by_arm: dict[str, float] = {}
        for key, traces in zip(self.selected, self.sums.get("traces", ()), strict=True):
            if key in self.keys:
                name = self.keys[key]["arm_name"]
                by_arm[name] = by_arm.get(name, 0.0) + float(traces)
        return min(by_arm.values()) if len(by_arm) > 1 else 0.0

    def places_in(self, cells: Cells) -> Places:
        """Return the place of each row's cell."""
        code = np.array([cells.code_of.get(key, 0) for key in self.selected], dtype=np.int64)
        if not len(code):
            return self.rows.codes
        places: Places = code[self.rows.codes % len(code)] + 2 * (self.rows.codes // len(code))
        return places

    def told_rows(self, told: Mapping[str, Flags]) -> dict[str, Flags]:
        """Return flags of keys as flags of rows."""
        place = self.rows.codes % max(len(self.selected), 1)
        return {name: flags[place] for name, flags in told.items()}


def told_by_key(traces: KeyTraces) -> dict[str, Flags]:
    """Tell of which keys' traces it would be known, had there been a retry, a fallback, thumbs or an escalation.

    What shows a retry in one trace is taken to show it in others of the question, as far as the source goes: HTTP
    requests only those of their own trace; what an instrumentation or application states, the traces of the same
    instrumentation; failed attempts as spans of their own, all traces with model calls. Feedback is only recorded when
    it happens: once any trace of the question records some, the others count as without.
    """
    none = np.zeros(len(traces.selected), dtype=np.bool_)
    return {
        "retries": _told(traces, "retry_source", "retried") if traces.keys else none,
        "fallbacks": _told(traces, "fallback_source", "fell_back") if traces.keys else none,
        "thumbs": none | (traces.sum_of("thumbs_known") > 0),
        "escalations": none | (traces.sum_of("escalation_known") > 0),
    }


def _told(traces: KeyTraces, source: str, hits: str) -> Flags:
    stating = {
        row["instrumentation"]
        for place, key in enumerate(traces.selected)
        if (row := traces.keys.get(key)) is not None and row[source] == "attribute" and traces.sums[hits][place] > 0
    }
    has_siblings = any(row[source] == "siblings" for row in traces.keys.values())
    return np.array(
        [
            (row := traces.keys.get(key)) is not None
            and (row[source] != "none" or row["instrumentation"] in stating or (row["has_llm_calls"] and has_siblings))
            for key in traces.selected
        ],
        dtype=np.bool_,
    )


def side_cells(
    cells: Cells,
    traces: KeyTraces,
    versioned: Mapping[str, Picked],
    cohorts: Sequence[str],
    arms: Sequence[str],
    examples: Mapping[tuple[str, int], tuple[str, ...]],
) -> tuple[Cell, ...]:
    """Return the cells of the cohorts, in order.

    Args:
        cells: Places of the cohorts.
        traces: Of the question.
        versioned: Rows of rollup_evaluators and of rollup_tools with cell places, by the factor that they tell.
        cohorts: Their names.
        arms: Base and candidate.
        examples: Trace ids by cohort and arm (0 or 1).
    """
    versions = {"evaluator_versions": _evaluator_versions, "tool_versions": _tool_versions}
    tallies = {factor: tell(cells, versioned[factor]) for factor, tell in versions.items()}
    shows_retries = told_by_key(traces)["retries"]
    sides: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for place, key in enumerate(traces.selected):
        if key in traces.keys:
            row = traces.keys[key]
            sides.setdefault((row["cohort_name"], row["arm_name"]), []).append((place, key))

    def side(place: int, arm: int) -> ArmSide:
        members = sides.get((cohorts[place], arms[arm]), [])
        own = {factor: found.get((place, arm), {}) for factor, found in tallies.items()}
        return _side(traces, members, arms, shows_retries, own) if members else ArmSide()

    return tuple(
        Cell(
            cohort=cohort,
            base=side(place, 0),
            candidate=side(place, 1),
            base_examples=examples.get((cohort, 0), ()),
            candidate_examples=examples.get((cohort, 1), ()),
        )
        for place, cohort in enumerate(cohorts)
    )


def _side(
    traces: KeyTraces,
    members: Sequence[tuple[int, int]],
    arms: Sequence[str],
    shows_retries: Flags,
    versions: Mapping[str, Mapping[str, int]],
) -> ArmSide:
    places = [place for place, _ in members]
    counted = {name: round(float(traces.sums[column][places].sum())) for name, column in _COUNTS.items()}
    tallies: dict[str, dict[str, int]] = {factor: {} for factor in TALLIES if factor not in versions}
    visible = contaminated = 0
    for place, key in members:
        row, count = traces.keys[key], round(float(traces.sums["traces"][place]))
        visible += count if shows_retries[place] else 0
        contaminated += count if len(set(row["models"]) & set(arms)) > 1 else 0
        for factor, value in _factor_values(row):
            tallies[factor][value] = tallies[factor].get(value, 0) + count
    counted |= {"retries_visible": visible, "contaminated": contaminated}
    return ArmSide(**counted, **tallies, **versions)  # type: ignore[arg-type]  # counts and tallies, by name


def _factor_values(row: Row) -> Iterable[tuple[str, str]]:
    conventions = row["conventions"]
    yield "conventions", _NONE if conventions is None else "+".join(conventions)
    for model in row["unpriced_models"] or ():
        yield "unpriced_models", model
    for factor, column in _FACTOR_COLUMNS.items():
        yield factor, _NONE if row[column] is None else row[column]


def _evaluator_versions(cells: Cells, rows: Picked) -> dict[tuple[int, int], dict[str, int]]:
    """Count judgements by cohort, arm, and evaluator@version: a trace has one for each evaluator that judged it."""
    if not len(rows.codes):
        return {}
    (evaluators, names), (versions, version_names) = rows.labelled("evaluator"), rows.labelled("version")
    place = (rows.codes * len(names) + evaluators) * len(version_names) + versions
    counts = tally(place, rows["judged"], (*cells.shape, len(names), len(version_names))).sum(axis=1)
    found: dict[tuple[int, int], dict[str, int]] = {}
    for cohort, arm, evaluator, version in np.argwhere(counts > 0).tolist():
        name = f"{names[evaluator]}@{version_names[version]}"
        found.setdefault((cohort, arm), {})[name] = round(float(counts[cohort, arm, evaluator, version]))
    return found


def _tool_versions(cells: Cells, rows: Picked) -> dict[tuple[int, int], dict[str, int]]:
    """Count traces by cohort, arm, and the tool@version that they called."""
    if not len(rows.codes):
        return {}
    versions, names = rows.labelled("tool_version")
    counts = tally(rows.codes * len(names) + versions, rows["traces"], (*cells.shape, len(names))).sum(axis=1)
    found: dict[tuple[int, int], dict[str, int]] = {}
    for cohort, arm, version in np.argwhere(counts > 0).tolist():
        found.setdefault((cohort, arm), {})[names[version]] = round(float(counts[cohort, arm, version]))
    return found


def worst_first(row: Row) -> tuple[bool, bool, int, str]:
    """Order rows of rollup_examples: failed traces first, then errors, then the slowest."""
    return not row["has_failed"], not row["is_error"], -row["duration_ns"], row["trace_id"]


def examples_of(
    rows: Iterable[Row], place_of: Mapping[int, tuple[str, int]], *, from_ns: int, to_ns: int
) -> dict[tuple[str, int], tuple[str, ...]]:
    """Choose a few traces worth opening of each cohort and arm.

    Args:
        rows: Of rollup_examples, the most worth first.
        place_of: Cohort and arm (0 or 1) by rollup key.
        from_ns: When the traces may start, ns since the epoch, inclusive.
        to_ns: The end of that, exclusive.
    """
    found: dict[tuple[str, int], list[str]] = {place: [] for place in place_of.values()}
    open_places = len(found)
    for row in rows:
        place = place_of.get(row["rollup_key"])
        if place is None or not from_ns <= row["start_unix_ns"] < to_ns:
            continue
        chosen = found[place]
        if len(chosen) < EXAMPLES_PER_ARM and row["trace_id"] not in chosen:
            chosen.append(row["trace_id"])
            open_places -= len(chosen) == EXAMPLES_PER_ARM
            if not open_places:
                break
    return {place: tuple(chosen) for place, chosen in found.items()}
