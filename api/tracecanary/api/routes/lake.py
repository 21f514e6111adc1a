"""What every endpoint works on: the store of the service's lake, and what receives for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tracecanary.analytics.store import Store
from tracecanary.api.receiver.receiver import Receiver


def store_of(request: Request) -> Store:
    """Return the store of the service that answers `request`."""
    store = request.app.state.store
    if not isinstance(store, Store):
        raise TypeError(f"the application's state holds {store!r} as its store; make it with create_app()")
    return store


def receiver_of(request: Request) -> Receiver:
    """Return the receiver of the service that answers `request`."""
    receiver = getattr(request.app.state, "receiver", None)
    if not isinstance(receiver, Receiver):
        raise TypeError("the application has not started: its lifespan makes the receiver")
    return receiver


def fresh_store(request: Request) -> Store:
    """Return the store of the service, after what the asker may have just sent is in the lake and derived.

    Under a stream of requests most readers see what was derived a few seconds ago.

    Raises:
        LakeError, StoreError: The lake can't be read.
    """
    receiver, store = receiver_of(request), store_of(request)
    is_behind = receiver.intake.has_unpublished_rows or store.known_snapshot() is None
    if is_behind and receiver.may_hurry():
        receiver.publish()
        store.refresh()
    return store


StoreOfService = Annotated[Store, Depends(fresh_store)]
