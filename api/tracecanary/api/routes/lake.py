"""What every endpoint works on: the store of the service's lake."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from tracecanary.analytics.store import Store


def _store(request: Request) -> Store:
    store = request.app.state.store
    if not isinstance(store, Store):
        raise TypeError(f"the application's state holds {store!r} as its store; make it with create_app()")
    return store


StoreOfService = Annotated[Store, Depends(_store)]
