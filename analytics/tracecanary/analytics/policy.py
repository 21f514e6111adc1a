"""The release policy: which metrics guard a release, with which margins, and what is planned. Read from YAML.

A policy is a lake's `policy.yaml`, or a file named on the command line. What it leaves out is as in the catalogue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tracecanary.analytics.metrics import METRICS, Metric, MetricKind
from tracecanary.analytics.validation import problems_of
from tracecanary.schema import ConfigurationError, FileLake, lake_storage

POLICY_FILE = "policy.yaml"
# Intervals are tightest there, 7 % wider (in standard errors) at ten times as many traces and 26 % at a tenth of them:
# rather small, since a cohort has a share of the traffic only.
DEFAULT_PLANNED_TRACES = 2000
MIN_PLANNED_TRACES, MAX_PLANNED_TRACES = 100, 10**9
EVALUATION_METRIC = "eval_fail_rate"

Role = Literal["guardrail", "informative"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a release must keep to.

    Args:
        metrics: The catalogue with the policy's margins and roles.
        evaluators: Evaluators with rules of their own, by name.
        planned_traces: Traces of each arm that the comparison is planned for, before any data.
        candidate_share: Planned share of the traffic for the candidate, 0..1; None while it is not stated.
    """

    metrics: tuple[Metric, ...] = METRICS
    evaluators: Mapping[str, Metric] = field(default_factory=dict)
    planned_traces: int = DEFAULT_PLANNED_TRACES
    candidate_share: float | None = None

    def metric(self, name: str, evaluator: str | None) -> Metric:
        """Return the rules of a metric, or of one evaluator; a versioned name@version has those of its name."""
        if evaluator is not None and name == EVALUATION_METRIC:
            for known in (evaluator, evaluator.rpartition("@")[0]):
                if known in self.evaluators:
                    return self.evaluators[known]
        return next(metric for metric in self.metrics if metric.name == name)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _MetricRule(_Section):
    margin: float | None = Field(default=None, description="see the metric's kind")
    role: Role | None = None
    required: bool | None = None
    critical: bool | None = None


class _PolicyFile(_Section):
    version: Literal[1]
    planned_traces: int = Field(default=DEFAULT_PLANNED_TRACES, ge=MIN_PLANNED_TRACES, le=MAX_PLANNED_TRACES)
    candidate_share: float | None = Field(default=None, gt=0, lt=1)
    metrics: dict[str, _MetricRule] = {}
    evaluators: dict[str, _MetricRule] = {}


def read_policy(path: Path, metrics: Sequence[Metric] = METRICS) -> Policy:
    """Read a policy file, for a catalogue of metrics.

    Raises:
        ConfigurationError: It can't be read, or has values that make no policy; names every one.
    """
    try:
        return _policy_of(path.read_bytes(), metrics, name=str(path))
    except OSError as error:
        raise ConfigurationError([f"can't read the policy {path}: {error}. Check the path and its rights"]) from error


def lake_policy(lake: FileLake, metrics: Sequence[Metric] = METRICS) -> Policy:
    """Return the policy of a lake, for a catalogue of metrics; the default one if it has none.

    Raises:
        ConfigurationError: The lake's policy is none.
        LakeError: The lake can't be read.
    """
    storage = lake_storage(lake)
    if all(file.name != POLICY_FILE for file in storage.files("")):
        return Policy(metrics=tuple(metrics))
    return _policy_of(storage.read(POLICY_FILE), metrics, name=f"{POLICY_FILE} of the lake")


def _policy_of(contents: bytes, metrics: Sequence[Metric], *, name: str) -> Policy:
    try:
        return parse_policy(yaml.safe_load(contents.decode()), metrics, name=name)
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"the policy {name} is no text in UTF-8: {error}"]) from error
    except yaml.YAMLError as error:
        raise ConfigurationError([f"the policy {name} is no YAML: {' '.join(str(error).split())}"]) from error


def parse_policy(document: Any, metrics: Sequence[Metric] = METRICS, *, name: str) -> Policy:
    """Turn the content of a policy file into a policy, for a catalogue of metrics.

    Raises:
        ConfigurationError: It makes no policy; names every problem, with the file's `name`.
    """
    try:
        parsed = _PolicyFile.model_validate(document if document is not None else {})
    except ValidationError as error:
        problems = problems_of(error, whole="policy", unknown="check the spelling: tracecanary policy init writes all")
        raise ConfigurationError([f"{name}: {problem}" for problem in problems]) from error
    known = [metric.name for metric in metrics]
    problems = [
        f"{name}: metrics.{metric}: there is no such metric. Use one of {', '.join(known)}, or give --config with "
        "those of your own"
        for metric in parsed.metrics
        if metric not in known
    ]
    ruled = {metric.name: _ruled(metric, parsed.metrics.get(metric.name)) for metric in metrics}
    evaluators = {evaluator: _ruled(ruled[EVALUATION_METRIC], rule) for evaluator, rule in parsed.evaluators.items()}
    problems += [
        f"{name}: metrics.{metric.name}.{_margin_problem(metric)}"
        for metric in ruled.values()
        if _margin_problem(metric)
    ]
    problems += [
        f"{name}: evaluators.{evaluator}.{_margin_problem(metric)}"
        for evaluator, metric in evaluators.items()
        if _margin_problem(metric)
    ]
    if problems:
        raise ConfigurationError(problems)
    return Policy(
        metrics=tuple(ruled.values()),
        evaluators=evaluators,
        planned_traces=parsed.planned_traces,
        candidate_share=parsed.candidate_share,
    )


def _ruled(metric: Metric, rule: _MetricRule | None) -> Metric:
    if rule is None:
        return metric
    return dataclasses.replace(
        metric,
        margin=metric.margin if rule.margin is None else rule.margin,
        is_guardrail=metric.is_guardrail if rule.role is None else rule.role == "guardrail",
        is_required=metric.is_required if rule.required is None else rule.required,
        is_critical=metric.is_critical if rule.critical is None else rule.critical,
    )


def _margin_problem(metric: Metric) -> str | None:
    if metric.kind is MetricKind.RATE and not 0 < metric.margin <= 1:
        return f"margin: {metric.margin} is no difference of rates. Use 0.01 for one percentage point"
    if metric.kind is not MetricKind.RATE and metric.margin <= 1:
        return f"margin: {metric.margin} is no ratio above 1. Use 1.1 for ten percent more"
    return None


def policy_template(metrics: Sequence[Metric] = METRICS) -> str:
    """Return a policy file with every default of a catalogue of metrics, to edit."""
    lines = [
        "# Release policy of tracecanary: what a candidate must keep to. Checked by `tracecanary policy check`.",
        "version: 1",
        "# Traces of each arm that a comparison is planned for, fixed before its data; intervals are tightest there.",
        f"planned_traces: {DEFAULT_PLANNED_TRACES}",
        "# Planned share of the traffic for the candidate; without it, a wrong split can't be told.",
        "# candidate_share: 0.1",
        "# margin: how much worse the candidate may be. A rate's is a difference (0.01 is one percentage point), that",
        "# of all others a ratio (1.1 is ten percent more). role: guardrail or informative. required: nothing ships",
        "# without it. critical: harm in it rolls the candidate back as a whole.",
        "metrics:",
    ]
    for metric in metrics:
        lines += [
            f"  {metric.name}:  # {metric.meaning}",
            f"    margin: {metric.margin}",
            f"    role: {'guardrail' if metric.is_guardrail else 'informative'}",
            f"    required: {str(metric.is_required).lower()}",
            f"    critical: {str(metric.is_critical).lower()}",
        ]
    lines += [
        "# Evaluators with rules of their own, by name. What must never be forgotten is critical, with a small margin.",
        "evaluators: {}",
        "#  refusal: {margin: 0.005, critical: true}",
        "#  pii: {margin: 0.001, critical: true}",
    ]
    return "\n".join(lines) + "\n"
