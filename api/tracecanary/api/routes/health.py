"""`/healthz`, `/readyz` and `/metrics`: whether the process lives, whether it can work, and how it does."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from tracecanary.analytics.policy import lake_policy
from tracecanary.api.receiver.metrics import METRICS_TYPE
from tracecanary.api.routes.lake import StoreOfService, receiver_of
from tracecanary.collector.intake_journal import check_writable
from tracecanary.schema import LakeError

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """State of the service."""

    status: str


@router.get("/healthz")
async def get_health() -> Health:
    """Tell that the process answers."""
    # Not on a worker thread: those may all wait for a snapshot, and the process is alive all the same.
    return Health(status="ok")


@router.get("/readyz")
def get_readiness(store: StoreOfService, request: Request) -> Health:
    """Tell that the lake can be read and written, and its policy be used; 503 with the reason otherwise."""
    with store.session() as session:
        session.rows("arms_v1", {"arm_by": "model"})
    lake_policy(store.lake)
    check_writable(store.lake)
    if not receiver_of(request).intake.is_publishing:
        raise LakeError("the lake refused the last segment; its rows wait in the journal. The service's log says why.")
    return Health(status="ready")


@router.get("/metrics", response_class=Response)
async def get_metrics(request: Request) -> Response:
    """Return the service's own figures, for Prometheus."""
    return Response(request.app.state.metrics.exposition(), media_type=METRICS_TYPE)
