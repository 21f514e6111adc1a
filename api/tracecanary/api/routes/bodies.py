"""Bodies of answers, kept while nothing changes that they stand on: the same request needs no second answer.

They stand on the lake and its policy; as long as a comparison has no caps, on what comparisons keep to, too. For a lake
on an object store none are kept: whether its policy has changed can't be told without asking the store.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from tracecanary.analytics.answer_cache import AnswerCache
from tracecanary.analytics.comparison import Comparison
from tracecanary.analytics.freezing import COMPARISONS_FOLDER
from tracecanary.analytics.policy import POLICY_FILE
from tracecanary.api.routes.lake import receiver_of, store_of

# Some hundred kB each, where there are many cohorts.
MOST_BODIES = 64
# Within a tick of the file system's clock, a change leaves a folder's time as it is.
_TICK_NS = 100_000_000

BodyCache = AnswerCache[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What changes with the policy, and with the folder of what comparisons keep to; None just after a change of it."""

    policy: tuple[int, int]
    comparisons: int | None


def known_body(request: Request) -> bytes | None:
    """Return the body that the same request was answered with; None if anything may have changed since.

    Never waits: it may be called on the event loop.
    """
    if receiver_of(request).intake.has_unpublished_rows:
        return None
    return body_of(request, snapshot=store_of(request).known_snapshot(), stamp=stamp_of(request))


def body_of(request: Request, *, snapshot: int | None, stamp: Stamp | None) -> bytes | None:
    """Return the body that the same request was answered with from a snapshot; None if it was not."""
    if snapshot is None or stamp is None:
        return None
    cache = _cache(request)
    settled = cache.known(_key(request, snapshot, stamp, is_settled=True))
    if settled is not None or stamp.comparisons is None:
        return settled
    return cache.known(_key(request, snapshot, stamp, is_settled=False))


def keep_body(request: Request, body: bytes, *, comparison: Comparison, stamp: Stamp | None) -> None:
    """Keep the body of an answer.

    Args:
        request: What was asked.
        body: The answer.
        comparison: What it is made of; of no snapshot, it is not kept.
        stamp: As it was before anything was read; without one the body is not kept.
    """
    if comparison.snapshot is None or stamp is None or not (comparison.is_settled or stamp.comparisons is not None):
        return
    _cache(request).answer(_key(request, comparison.snapshot, stamp, is_settled=comparison.is_settled), lambda: body)


def stamp_of(request: Request) -> Stamp | None:
    """Look at the lake's policy and comparisons; None for a lake on an object store."""
    lake = store_of(request).lake
    if not isinstance(lake, Path):
        return None
    changed_ns, _ = _state_of(lake / COMPARISONS_FOLDER)
    is_old = time.time_ns() - changed_ns > _TICK_NS
    return Stamp(policy=_state_of(lake / POLICY_FILE), comparisons=changed_ns if is_old else None)


def _state_of(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError:
        return 0, 0
    return state.st_mtime_ns, state.st_size


def _cache(request: Request) -> BodyCache:
    cache: BodyCache = request.app.state.bodies
    return cache


def _key(request: Request, snapshot: int, stamp: Stamp, *, is_settled: bool) -> tuple[object, ...]:
    comparisons = None if is_settled else stamp.comparisons
    return snapshot, request.url.path, request.url.query, stamp.policy, comparisons
