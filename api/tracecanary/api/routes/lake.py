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
    """Return the store of the service, after what it has received is in the lake."""
    receiver_of(request).refresh()
    return store_of(request)


StoreOfService = Annotated[Store, Depends(fresh_store)]
