"""What an installation may say about its own spans; `config.py` reads it from the configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracecanary.collector.models import ModelRules
from tracecanary.schema import CohortDimension, DimensionSource, OwnMetric


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorRule:
    """When a result of an evaluator that says no pass or fail has passed; see `docs/evaluations.md`.

    Attributes:
        pass_at_least: Lowest score that passes; None for no such bound.
        pass_at_most: Highest score that passes; None for no such bound. With both, a score between them passes.
        passing_labels: Labels that pass, in lower case and without surrounding space; any other label fails. Empty
            when labels are read as usual.
    """

    pass_at_least: float | None = None
    pass_at_most: float | None = None
    passing_labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How spans become rows.

    Attributes:
        models: Which model a call belongs to.
        feature_flags: Keys of the flags whose variant is an arm; empty for any flag.
        cohort_tags: Cohort of each tag that is one, for libraries that keep tags only.
        dimensions: Further cohort dimensions: their values are kept with the spans.
        evaluators: When a result has passed, by the evaluator's name.
        metrics: Metrics of the installation's own: their values are kept with the spans.
    """

    models: ModelRules = field(default_factory=ModelRules)
    feature_flags: frozenset[str] = frozenset()
    cohort_tags: Mapping[str, str] = field(default_factory=dict)
    dimensions: tuple[CohortDimension, ...] = ()
    evaluators: Mapping[str, EvaluatorRule] = field(default_factory=dict)
    metrics: tuple[OwnMetric, ...] = ()

    @property
    def resource_dimensions(self) -> Mapping[str, str]:
        """Attributes of resources to keep, by the name that they are stored under."""
        return {
            declared.stored_as: declared.key
            for declared in self.dimensions
            if declared.source is DimensionSource.RESOURCE
        }

    @property
    def kept_attributes(self) -> tuple[str, ...]:
        """Attributes of spans to keep, of dimensions and of metrics."""
        keys = [declared.key for declared in self.dimensions if declared.source is not DimensionSource.RESOURCE]
        keys += [metric.attribute for metric in self.metrics]
        return tuple(key for key in dict.fromkeys(keys) if key not in self.resource_dimensions)

    @property
    def baggage_dimensions(self) -> tuple[str, ...]:
        """Baggage that becomes attributes of spans."""
        keys = [declared.key for declared in self.dimensions if declared.source is DimensionSource.BAGGAGE]
        return tuple(dict.fromkeys(keys))
