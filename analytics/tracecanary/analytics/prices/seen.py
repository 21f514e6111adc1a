"""The models in a lake, and whether they have a price."""

from __future__ import annotations

from dataclasses import dataclass

from tracecanary.analytics.prices.book import ModelNames, PriceBook
from tracecanary.analytics.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenModel:
    """A way in which spans with tokens name their model, and how many do. Times are ns since the epoch."""

    names: ModelNames
    spans: int
    first_seen_unix_ns: int
    last_seen_unix_ns: int


def seen_models(store: Store) -> list[SeenModel]:
    """List how spans with tokens name their models."""
    with store.spans_session() as session:
        rows = session.rows("seen_models_v1")
    return [
        SeenModel(
            names=ModelNames(
                model=row.pop("model"),
                request_model=row.pop("request_model"),
                response_model=row.pop("response_model"),
                provider=row.pop("provider"),
            ),
            **row,
        )
        for row in rows
    ]


def unpriced_models(seen: list[SeenModel], book: PriceBook) -> list[SeenModel]:
    """Return those that had no price when they were seen first, or last."""
    return [
        model
        for model in seen
        if not all(book.period_at(model.names, at) for at in (model.first_seen_unix_ns, model.last_seen_unix_ns))
    ]
