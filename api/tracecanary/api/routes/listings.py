"""`/models`, `/cohorts` and `/series`: flat rows for tables and panels."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tracecanary.analytics.listings import (
    CohortRow,
    ModelRow,
    SeriesRow,
    list_cohorts,
    list_models,
    metric_series,
)
from tracecanary.api.parameters import NoParameters, SelectionParameters, SeriesParameters
from tracecanary.api.routes.lake import StoreOfService

router = APIRouter(tags=["listings"])


@router.get("/models")
def get_models(_: Annotated[NoParameters, Query()], store: StoreOfService) -> list[ModelRow]:
    """List the models that were asked for."""
    return list_models(store)


@router.get("/cohorts")
def get_cohorts(parameters: Annotated[SelectionParameters, Query()], store: StoreOfService) -> list[CohortRow]:
    """List the cohorts."""
    return list_cohorts(store, parameters.selection())


@router.get("/series")
def get_series(parameters: Annotated[SeriesParameters, Query()], store: StoreOfService) -> list[SeriesRow]:
    """Return a metric over time, ascending; a bucket without traces has no row."""
    return metric_series(
        store,
        parameters.selection(*parameters.arm),
        metric=parameters.metric,
        step_s=parameters.step,
        evaluators=tuple(parameters.evaluator),
        is_by_cohort=parameters.by_cohort,
    )
