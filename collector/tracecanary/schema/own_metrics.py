"""Metrics of an installation's own: a number or a truth value that its spans state in an attribute."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tracecanary.schema.config_file import ConfigFile, Section

# Each is a row of every answer, and takes part in the correction for many cells.
MAX_OWN_METRICS = 16
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_MAX_UNIT = 20
_ChoiceT = TypeVar("_ChoiceT", bound=str)
# Names of the catalogue, and of the values that its quantiles are taken of. A test keeps them the same.
BUILT_IN_METRICS = frozenset(
    {
        *("eval_fail_rate", "error_rate", "tool_error_rate", "retry_rate", "fallback_rate", "thumbs_down_rate"),
        *("escalation_rate", "latency", "latency_p50", "latency_p95", "latency_p99", "cost_per_trace"),
        *("input_tokens", "output_tokens", "steps_per_trace"),
    }
)


class OwnMetricKind(StrEnum):
    """What is compared: a share of traces, or a mean over traces."""

    RATE = "rate"
    MEAN = "mean"


class Taking(StrEnum):
    """Which value a trace has whose spans state several."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"
    LAST = "last"
    ANY = "any"


# What each kind may take, the default first.
_TAKINGS: Mapping[OwnMetricKind, tuple[Taking, ...]] = {
    OwnMetricKind.RATE: (Taking.ANY, Taking.LAST),
    OwnMetricKind.MEAN: (Taking.SUM, Taking.MAX, Taking.MIN, Taking.LAST),
}
_DEFAULT_MARGINS = {OwnMetricKind.RATE: 0.01, OwnMetricKind.MEAN: 1.10}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMetric:
    """One metric.

    Attributes:
        name: As answers and policies name it.
        kind: A rate counts the traces whose value is not 0; a mean takes the values themselves.
        attribute: Attribute of spans that states the value.
        take: Which one of several.
        unit: Of a mean; "fraction" for a rate.
        is_lower_worse: A rate counts the traces whose value is 0 then, so that more is worse. Never of a mean.
        margin: How much worse the candidate may be: a difference for a rate, a ratio for a mean.
        is_guardrail: Whether the candidate must keep to the margin to ship.
    """

    name: str
    kind: OwnMetricKind
    attribute: str
    take: Taking
    unit: str
    is_lower_worse: bool = False
    margin: float
    is_guardrail: bool = False


def read_own_metrics(file: ConfigFile) -> tuple[OwnMetric, ...]:
    """Return what `[metrics.NAME]` declare, in their order; problems are noted in `file`."""
    section = file.section("metrics")
    found = [_own_metric(name, declared, section) for name, declared in section.tables().items()]
    if len(found) > MAX_OWN_METRICS:
        file.note(f"[metrics] declares {len(found)} metrics, but {MAX_OWN_METRICS} are the most. Remove some")
    return tuple(metric for metric in found if metric is not None)


def _own_metric(name: str, declared: Section, section: Section) -> OwnMetric | None:
    if not _NAME.fullmatch(name):
        section.note(name, name, "a name has a-z, 0-9 and _ only, a letter first, and 63 characters at most")
    elif name in BUILT_IN_METRICS:
        section.note(name, name, "that is a metric already; choose another name")
    attribute = declared.text("attribute")
    declared.note_missing("attribute", 'attribute = "app.refunds"')
    kind = _choice(declared, "kind", tuple(OwnMetricKind), OwnMetricKind.MEAN)
    takings = _TAKINGS[kind]
    take = _choice(declared, "take", takings, takings[0])
    is_lower_worse = _choice(declared, "worse", ("higher", "lower"), "higher") == "lower"
    if is_lower_worse and kind is OwnMetricKind.MEAN:
        declared.note("worse", "lower", "a mean is compared as a ratio of which more is worse: make it a rate")
    margin = _margin(declared, kind)
    unit = declared.text("unit")
    if unit is not None and kind is OwnMetricKind.RATE:
        declared.note("unit", unit, "a rate is a share of traces and has none; remove it")
    if unit is not None and len(unit) > _MAX_UNIT:
        declared.note("unit", unit, f"must have {_MAX_UNIT} characters at most")
    if attribute is None:
        return None
    return OwnMetric(
        name=name,
        kind=kind,
        attribute=attribute,
        take=take,
        unit="fraction" if kind is OwnMetricKind.RATE else unit or "",
        is_lower_worse=is_lower_worse,
        margin=margin,
        is_guardrail=declared.flag("guardrail", default=False),
    )


def _choice(section: Section, key: str, choices: tuple[_ChoiceT, ...], default: _ChoiceT) -> _ChoiceT:
    value = section.text(key)
    if value is None:
        return default
    found = next((choice for choice in choices if choice == value), None)
    if found is None:
        section.note(key, value, f"must be one of {', '.join(choices)}")
    return default if found is None else found


def _margin(section: Section, kind: OwnMetricKind) -> float:
    value = section.number("margin")
    if value is None:
        return _DEFAULT_MARGINS[kind]
    if kind is OwnMetricKind.RATE and not 0 < value <= 1:
        section.note("margin", value, "must be a difference of rates: 0.01 is one percentage point")
    if kind is OwnMetricKind.MEAN and not 1 < value < math.inf:
        section.note("margin", value, "must be a ratio above 1: 1.1 is ten percent more")
    return value
