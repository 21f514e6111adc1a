"""Bodies of answers, kept while neither the lake nor its policy changes: the same request needs no second answer.

For a lake on an object store none are kept: whether its policy has changed can't be told without asking the store.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import Request

from tracecanary.analytics.answer_cache import AnswerCache
from tracecanary.analytics.policy import POLICY_FILE
from tracecanary.api.routes.lake import receiver_of, store_of

# Some hundred kB each, where there are many cohorts.
MOST_BODIES = 64

BodyCache = AnswerCache[bytes]
# None where the policy may change unseen.
PolicyStamp = tuple[int, int] | None
_NO_POLICY = (0, 0)


def known_body(request: Request) -> bytes | None:
    """Return the body that the same request was answered with; None if anything may have changed since.

    Never waits: it may be called on the event loop.
    """
    if receiver_of(request).intake.has_unpublished_rows:
        return None
    snapshot = store_of(request).known_snapshot()
    return body_of(request, snapshot=snapshot, policy=policy_stamp(request))


def body_of(request: Request, *, snapshot: int | None, policy: PolicyStamp) -> bytes | None:
    """Return the body that the same request was answered with from a snapshot; None if it was not."""
    if snapshot is None or policy is None:
        return None
    return _cache(request).known(_key(request, snapshot, policy))


def keep_body(request: Request, body: bytes, *, snapshot: int | None, policy: PolicyStamp) -> None:
    """Keep the body of an answer.

    Args:
        request: What was asked.
        body: The answer.
        snapshot: Number of the store's snapshot that it is of; None for an answer of none, which is not kept.
        policy: Stamp of the lake's policy before it was read; without one the body is not kept.
    """
    if snapshot is not None and policy is not None:
        _cache(request).answer(_key(request, snapshot, policy), lambda: body)


def policy_stamp(request: Request) -> PolicyStamp:
    """Return what changes with the lake's policy file; None for a lake on an object store."""
    lake = store_of(request).lake
    if not isinstance(lake, Path):
        return None
    try:
        state = (lake / POLICY_FILE).stat()
    except OSError:
        return _NO_POLICY
    return state.st_mtime_ns, state.st_size


def _cache(request: Request) -> BodyCache:
    cache: BodyCache = request.app.state.bodies
    return cache


def _key(request: Request, snapshot: int, policy: PolicyStamp) -> tuple[int, str, str, PolicyStamp]:
    return snapshot, request.url.path, request.url.query, policy
