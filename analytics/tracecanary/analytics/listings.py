"""Lists beside the comparison: models, cohorts, metrics over time. Rows are flat, as a table or panel reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from tracecanary.analytics.gathering import select_keys, select_traces, window_of
from tracecanary.analytics.metrics import METRICS_BY_NAME
from tracecanary.analytics.question import Selection, check_metrics, time_of, unix_ns
from tracecanary.analytics.store import Store
from tracecanary.schema import InvalidQuestionError

_NS_PER_S = 1_000_000_000
_HOUR_S = 3600
# More buckets than any screen has pixels are a mistake in the parameters.
MAX_BUCKETS = 10_000


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class ModelRow(_Row):
    """One canonical requested model. Tokens and cost are null where the source has none."""

    model: str
    traces: int
    llm_calls: int
    llm_errors: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    calls_with_tokens: int
    retries: int | None
    fallbacks_from: int | None
    fallbacks_to: int | None
    cost_usd: float | None
    priced: bool
    conventions: list[str]
    first_seen: datetime
    last_seen: datetime


class CohortRow(_Row):
    """One cohort and how many traces it has."""

    cohort: str
    traces: int
    first_seen: datetime
    last_seen: datetime


class SeriesRow(_Row):
    """A metric of one arm in one bucket of time; `cohort` is null for all cohorts together."""

    time: datetime
    arm: str
    cohort: str | None
    metric: str
    value: float
    n: int


def list_models(store: Store) -> list[ModelRow]:
    """List the models that were asked for, by name."""
    with store.session() as session:
        rows = session.rows("models_v3")
    return [
        ModelRow(
            first_seen=time_of(row.pop("first_seen_unix_ns")),
            last_seen=time_of(row.pop("last_seen_unix_ns")),
            conventions=row.pop("conventions") or [],
            **row,
        )
        for row in rows
    ]


def list_cohorts(store: Store, selection: Selection) -> list[CohortRow]:
    """List the cohorts of the selected traces, by name."""
    with store.session() as session:
        store.check(selection)
        select_keys(session, selection)
        rows = session.rows("cohorts_v3", window_of(selection))
    return [
        CohortRow(
            cohort=row["cohort_name"],
            traces=row["traces"],
            first_seen=time_of(row["first_seen_unix_ns"]),
            last_seen=time_of(row["last_seen_unix_ns"]),
        )
        for row in rows
    ]


def metric_series(
    store: Store,
    selection: Selection,
    *,
    metric: str,
    step_s: int,
    evaluators: tuple[str, ...] = (),
    is_by_cohort: bool = False,
) -> list[SeriesRow]:
    """Return a metric over time, ascending; a bucket without traces has no row.

    Args:
        store: Where the traces are.
        selection: Which traces; every arm if it names none.
        metric: Name in the catalogue.
        step_s: Width of a bucket, s.
        evaluators: Evaluators that count for `eval_fail_rate`; empty for all, then any failure fails the trace.
        is_by_cohort: A row for each cohort instead of one for all together.

    Raises:
        InvalidQuestionError: The metric is unknown, or the step makes too many buckets.
    """
    check_metrics((metric,), [known.name for known in store.metrics])
    (entry,) = (known for known in store.metrics if known.name == metric)
    if step_s < 1:
        raise InvalidQuestionError("step", step_s, "Use at least one second, such as 15m, 1h or 1d.")
    with store.session() as session:
        store.check(selection)
        shape = {"step_ns": step_s * _NS_PER_S, "is_by_cohort": is_by_cohort}
        is_summed_up = metric in METRICS_BY_NAME and entry.quantile is None and not evaluators
        if is_summed_up and _is_whole_hours(selection, step_s):
            select_keys(session, selection)
            rows = session.rows("series_hours_v1", {**shape, "value_of": metric, **window_of(selection)})
        else:
            select_traces(session, selection.parameters())
            values = {"value_of": entry.values_from or metric, "quantile": entry.quantile}
            rows = session.rows("series_v1", {**shape, **values, "evaluators": list(evaluators)})
    buckets = {row["bucket_unix_ns"] for row in rows}
    if len(buckets) > MAX_BUCKETS:
        raise InvalidQuestionError("step", f"{step_s}s", f"It makes {len(buckets)} points; use a larger one.")
    return [_series_row(row, metric) for row in rows]


def _series_row(row: Mapping[str, Any], metric: str) -> SeriesRow:
    return SeriesRow(
        time=time_of(row["bucket_unix_ns"]),
        arm=row["arm_name"],
        cohort=row["cohort_name"],
        metric=metric,
        value=row["value"],
        n=row["n"],
    )


def _is_whole_hours(selection: Selection, step_s: int) -> bool:
    """Whether hourly rollups can answer: neither a bucket nor the window cuts an hour."""
    edges = [edge for edge in (selection.from_time, selection.to_time) if edge is not None]
    return step_s % _HOUR_S == 0 and all(unix_ns(edge) % (_HOUR_S * _NS_PER_S) == 0 for edge in edges)
