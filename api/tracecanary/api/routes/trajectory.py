"""`/trajectory`: where in the trajectory the candidate differs from the base."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from tracecanary.analytics.trajectory import Trajectory, compare_trajectories
from tracecanary.api.parameters import TrajectoryParameters
from tracecanary.api.routes.lake import StoreOfService

router = APIRouter(tags=["comparison"])


@router.get("/trajectory")
def get_trajectory(parameters: Annotated[TrajectoryParameters, Query()], store: StoreOfService) -> Trajectory:
    """Compare the arms step by step, agent by agent and tool by tool, and show where failures begin."""
    return compare_trajectories(store, parameters.question(), most=parameters.limit)
