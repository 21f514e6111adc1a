"""`/healthz` and `/readyz`: whether the process lives, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from tracecanary.api.routes.lake import StoreOfService

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
def get_readiness(store: StoreOfService) -> Health:
    """Tell that the lake can be read; 503 with the reason otherwise."""
    with store.session() as session:
        session.rows("arms_v1", {"arm_by": "model"})
    return Health(status="ready")
