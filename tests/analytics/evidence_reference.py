"""The evidence of a question in plain Python: trace by trace, from what facts mean, and slow."""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tracecanary.analytics.evidence import Evidence
from tracecanary.analytics.question import Question
from tracecanary.analytics.statistics.histograms import Histograms

Fact = Mapping[str, Any]
NONE = "(none)"
TOLD_BY = {"retry_rate": ("retry_source", "retries"), "fallback_rate": ("fallback_source", "is_fallback")}


class ReferenceEvidence:
    """What the facts say of a question, by the names of cohort and arm, and the number of the period.

    Args:
        facts: Of every trace of the lake in which a model was asked.
        question: What is asked.
        starts_ns: Of all periods but the first.
        caps: Largest value that a mean counts with.
        pairs_first: Whether a pair is a cluster before a conversation is.
    """

    def __init__(
        self,
        facts: Iterable[Fact],
        question: Question,
        starts_ns: Sequence[int],
        *,
        caps: Mapping[str, float] | None = None,
        pairs_first: bool = False,
    ) -> None:
        self._question, self._starts, self._caps, self._pairs_first = question, starts_ns, caps or {}, pairs_first
        self.traces = [one for one in facts if self._is_asked(one)]
        self._versions: dict[str, set[str]] = defaultdict(set)
        for one in self.traces:
            for outcome in one["outcomes"] or ():
                self._versions[outcome["evaluator"]].add(outcome["version"])

    def _is_asked(self, one: Fact) -> bool:
        selection = self._question.selection
        window = selection.parameters()
        return (
            window["from_ns"] <= one["start_unix_ns"] < window["to_ns"]
            and self.arm(one) in selection.arms
            and selection.pairs in ("all", "without" if one["pair_id"] is None else "with")
            and (not selection.cohorts or self.cohort(one) in selection.cohorts)
            and (not selection.routes or (one["route"] or NONE) in selection.routes)
        )

    def arm(self, one: Fact) -> str | None:
        by = self._question.selection.arm_by
        name = one["models"][0] if by == "model" else one[by]
        return None if name is None else str(name)

    def cohort(self, one: Fact) -> str:
        names = {"service": "service_name"}
        parts = [one[names.get(name, name)] for name in self._question.selection.cohort_by]
        named = [NONE if part is None else part for part in parts]
        return named[0] if len(named) == 1 else " / ".join(part.replace(" / ", " // ") for part in named)

    def cell(self, one: Fact) -> tuple[str, int, str]:
        period = sum(start <= one["start_unix_ns"] for start in self._starts)
        return self.cohort(one), period, str(self.arm(one))

    def cluster(self, one: Fact) -> str:
        names = ["user", "conversation", "pair"]
        if self._pairs_first:
            names = ["user", "pair", "conversation"]
        for name in names:
            if one[f"{name}_id"] is not None:
                return f"{name} {one[f'{name}_id']}"
        return f"trace {one['trace_id']}"

    def group(self, one: Fact) -> int:
        digest = hashlib.md5(f"tracecanary{self.cluster(one)}".encode(), usedforsecurity=False).digest()
        return digest[0] % 128

    def values(self, one: Fact) -> dict[tuple[str, str | None], float]:
        """The values of a trace by metric and evaluator; larger is worse."""
        thumbs = any(other["is_thumbs_down"] is not None for other in self.traces)
        escalations = any(other["is_escalated"] is not None for other in self.traces)
        found: dict[tuple[str, str | None], float | None] = {
            ("error_rate", None): float(one["is_error"]),
            ("tool_error_rate", None): float(one["tool_errors"] > 0),
            ("cost_per_trace", None): None if one["cost_nano_usd"] is None else one["cost_nano_usd"] / 1e9,
            ("input_tokens", None): one["input_tokens"],
            ("output_tokens", None): one["output_tokens"],
            ("steps_per_trace", None): one["steps"],
            ("retry_rate", None): float((one["retries"] or 0) > 0) if self._shows(one, "retry_rate") else None,
            ("fallback_rate", None): float(bool(one["is_fallback"])) if self._shows(one, "fallback_rate") else None,
            ("thumbs_down_rate", None): float(bool(one["is_thumbs_down"])) if thumbs else None,
            ("escalation_rate", None): float(bool(one["is_escalated"])) if escalations else None,
        }
        for outcome in one["outcomes"] or ():
            found["eval_fail_rate", self.evaluator(outcome)] = float(outcome["has_failed"])
        return {key: float(value) for key, value in found.items() if value is not None}

    def evaluator(self, outcome: Mapping[str, Any]) -> str:
        name = str(outcome["evaluator"])
        return name if len(self._versions[name]) == 1 else f"{name}@{outcome['version']}"

    def _shows(self, one: Fact, metric: str) -> bool:
        source, hit = TOLD_BY[metric]
        like = [other for other in self.traces if other["instrumentation"] == one["instrumentation"]]
        return (
            one[source] != "none"
            or any(other[source] == "attribute" and other[hit] for other in like)
            or (one["llm_calls"] > 0 and any(other[source] == "siblings" for other in self.traces))
        )

    def sums(self, *, is_clustered: bool) -> dict[tuple[Any, ...], tuple[float, ...]]:
        """n, sum, squares and cubes by cohort, period, arm, metric, evaluator and group."""
        found: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for one in self.traces:
            for key, value in self.values(one).items():
                found[*self.cell(one), *key, self.group(one) if is_clustered else 0].append(value)
        return {place: _powers(values) for place, values in found.items()}

    def tails(self, *, is_clustered: bool) -> dict[tuple[Any, ...], tuple[float, ...]]:
        found: dict[tuple[Any, ...], list[tuple[float, float]]] = defaultdict(list)
        for one in self.traces:
            for key, value in self.values(one).items():
                cap = self._caps.get(key[0], math.inf)
                if value > cap:
                    found[*self.cell(one), *key, self.group(one) if is_clustered else 0].append((value, cap))
        return {
            place: tuple(
                high - low
                for high, low in zip(
                    _powers([v for v, _ in values]), (0, *_powers([c for _, c in values])[1:]), strict=True
                )
            )
            for place, values in found.items()
        }

    def counts(self) -> tuple[Counter[Any], Counter[Any]]:
        """Traces, and clusters, by cohort, period and arm."""
        clusters = {(*self.cell(one), self.cluster(one)) for one in self.traces}
        return Counter(map(self.cell, self.traces)), Counter(place[:3] for place in clusters)

    def clustering(self) -> tuple[bool, bool]:
        """Whether values are clustered, and whether the same clusters are in both arms."""
        by_arm = {arm: [self.cluster(one) for one in self.traces if self.arm(one) == arm] for arm in self._arms()}
        names = [set(clusters) for clusters in by_arm.values()]
        smaller = min(map(len, names))
        is_paired = smaller > 0 and len(names[0] & names[1]) / smaller > 0.5
        is_repeated = any(len(clusters) > 1.01 * len(set(clusters)) for clusters in by_arm.values())
        return is_paired or is_repeated, is_paired

    def _arms(self) -> tuple[str, ...]:
        return self._question.selection.arms

    def histograms(self, *, is_by_group: bool) -> Counter[tuple[Any, ...]]:
        """Values by metric, cohort, period, arm, group if asked for, and bucket (None for zeros)."""
        counts: Counter[tuple[Any, ...]] = Counter()
        for one in self.traces:
            means = ("cost_per_trace", "input_tokens", "output_tokens", "steps_per_trace")
            values = {"latency": one["duration_ns"] / 1e9}
            if not is_by_group:
                values |= {name: value for (name, _), value in self.values(one).items() if name in means}
            group = (self.group(one),) if is_by_group else ()
            for name, value in values.items():
                bucket = math.ceil(math.log2(value) * (4 if is_by_group else 32)) - 1 if value > 0 else None
                counts[name, *self.cell(one), *group, bucket] += 1
        return counts

    def sides(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What is no metric, by cohort and arm."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for one in self.traces:
            side = found.setdefault((self.cohort(one), str(self.arm(one))), defaultdict(Counter))
            for factor, value in self._factors(one):
                side[factor][value] += 1
            for name, is_counted in {
                "traces": True,
                "without_root": not one["has_root"],
                "with_dropped_attributes": (one["dropped_attributes"] or 0) > 0,
                "with_lost_spans": one["lost_spans"] > 0,
                "with_tokens": one["input_tokens"] is not None,
                "with_cost": one["cost_nano_usd"] is not None,
                "evaluated": bool(one["outcomes"]),
                "with_thumbs": one["is_thumbs_down"] is not None,
                "retries_visible": self._shows(one, "retry_rate"),
                "contaminated": set(self._arms()) <= set(one["models"]),
            }.items():
                side["counts"][name] += int(is_counted)
            side["counts"]["sampling_weight_milli"] += round(1000 / (one["sampling_probability"] or 1))
        return found

    def _factors(self, one: Fact) -> Iterable[tuple[str, str]]:
        yield "conventions", NONE if one["conventions"] is None else "+".join(one["conventions"])
        for name in ("step_source", "release", "prompt", "route", "environment"):
            yield f"{name}s", one[name] or NONE
        yield "cost_sources", one["cost_source"] or NONE
        for model in one["unpriced_models"] or ():
            yield "unpriced_models", model
        for version in one["tool_versions"] or ():
            yield "tool_versions", version
        for outcome in one["outcomes"] or ():
            yield "evaluator_versions", f"{outcome['evaluator']}@{outcome['version']}"

    def quantiles(self) -> dict[tuple[str, str | None, int], tuple[int, dict[float, float]]]:
        found: dict[tuple[str, str | None, int], list[float]] = defaultdict(list)
        for one in self.traces:
            for cohort in (self.cohort(one), None):
                found["latency", cohort, self._arms().index(str(self.arm(one)))].append(one["duration_ns"] / 1e9)
        return {
            place: (len(values), {p: float(np.quantile(values, p)) for p in (0.5, 0.95, 0.99)})
            for place, values in found.items()
        }

    def pairs(self) -> dict[tuple[str, tuple[str, str | None]], Counter[str]]:
        """Pairs by cohort and metric, and by what was found in base and candidate: `10` is the base alone."""
        first: dict[tuple[str, str, str], Fact] = {}
        for one in sorted(self.traces, key=lambda one: (one["start_unix_ns"], one["trace_id"])):
            if one["pair_id"] is not None:
                first.setdefault((self.cohort(one), one["pair_id"], str(self.arm(one))), one)
        base, candidate = self._arms()
        found: dict[tuple[str, tuple[str, str | None]], Counter[str]] = defaultdict(Counter)
        for (cohort, pair, arm), one in first.items():
            other = first.get((cohort, pair, candidate))
            if arm == base and other is not None:
                ours, theirs = self.values(one), self.values(other)
                for key in ours.keys() & theirs.keys():
                    if key[0].endswith("_rate"):
                        found[cohort, key][f"{ours[key]:.0f}{theirs[key]:.0f}"] += 1
        return found

    def examples(self) -> dict[tuple[str, str], list[str]]:
        found: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        for one in self.traces:
            found[self.cohort(one), str(self.arm(one))].append(one)
        return {place: [one["trace_id"] for one in sorted(rows, key=_worst_first)[:3]] for place, rows in found.items()}


def _worst_first(one: Fact) -> tuple[bool, bool, int, str]:
    has_failed = any(outcome["has_failed"] for outcome in one["outcomes"] or ())
    return not has_failed, not one["is_error"], -one["duration_ns"], one["trace_id"]


def _powers(values: Sequence[float]) -> tuple[float, ...]:
    return float(len(values)), math.fsum(values), math.fsum(v**2 for v in values), math.fsum(v**3 for v in values)


def found_sums(evidence: Evidence, arms: Sequence[str], *, are_tails: bool = False) -> dict[tuple[Any, ...], Any]:
    """The sums of gathered evidence in the form of the reference."""
    sums = evidence.values.tails if are_tails else evidence.values.sums
    if sums is None:
        return {}
    cohorts = [cell.cohort for cell in evidence.cells]
    return {
        (cohorts[c], period, arms[arm], *evidence.values.keys[key], group): tuple(
            float(array[c, period, arm, key, group]) for array in (sums.n, sums.total, sums.squares, sums.cubes)
        )
        for c, period, arm, key, group in np.argwhere(sums.n > 0).tolist()
    }


def found_histograms(evidence: Evidence, arms: Sequence[str], *, is_by_group: bool) -> Counter[tuple[Any, ...]]:
    """The histograms of gathered evidence in the form of the reference."""
    made: Mapping[str, Histograms] = evidence.values.group_histograms if is_by_group else evidence.values.histograms
    counts: Counter[tuple[Any, ...]] = Counter()
    for name, histogram in made.items():
        for place in np.argwhere(histogram.counts > 0).tolist():
            cohort, period, arm, *group, column = place
            bucket = None if column == 0 else column - 1 + histogram.first
            key = (name, evidence.cells[cohort].cohort, period, arms[arm], *group, bucket)
            counts[key] = round(float(histogram.counts[tuple(place)]))
    return counts
