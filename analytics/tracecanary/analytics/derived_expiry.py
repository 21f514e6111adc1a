"""Expiry in the folders of definitions that nobody configures: they may be read with other settings, or seldom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tracecanary.analytics.config import DerivationSettings, Retention
from tracecanary.analytics.derived_build import Builder
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_inheritance import columns_of
from tracecanary.analytics.derived_state import DerivedState, Listing, kept_hours, without_expired
from tracecanary.analytics.derived_tables import DERIVED_TABLES
from tracecanary.analytics.engine import EngineLimits


def expire_others(
    own: DerivedFolder,
    listing: Listing,
    retention: Retention,
    *,
    limits: Callable[[DerivedFolder], EngineLimits],
    clock_ms: Callable[[], int],
) -> None:
    """Delete facts and rollups that are not to be kept from the folders of other definitions than `own`.

    Those of versions with other columns stay as they are: this one can't write them anew. `derived_findings` tells.

    Raises:
        StoreError: A derived file is damaged.
        OSError: The derived folder can't be written.
    """
    parts = own.newest().parts
    if retention.facts_days is None or not parts:
        return
    like = columns_of(own, parts[0], DERIVED_TABLES)
    for folder in own.others():
        state = folder.newest()
        if state.parts and all(columns_of(folder, part, DERIVED_TABLES) == like for part in state.parts):
            settings = DerivationSettings(retention=retention)
            builder = Builder(folder, _no_files, limits(folder), settings=settings, clock_ms=clock_ms)
            with folder.as_used_before():
                _expire(folder, builder, listing, retention, now_ms=clock_ms())


def _expire(folder: DerivedFolder, builder: Builder, listing: Listing, retention: Retention, *, now_ms: int) -> None:
    state = _published(folder, listing, retention, now_ms=now_ms)
    while state.facts_from_day and (merged := builder.merged(state)) is not None:
        builder.publish_merged(merged)
        state = folder.newest()
    folder.sweep_files(state)


def _published(folder: DerivedFolder, listing: Listing, retention: Retention, *, now_ms: int) -> DerivedState:
    """Publish a state without what has expired, if there is any, and return it."""
    while True:
        state = folder.newest()
        # Compaction may have dropped spans since somebody asked by this definition: no late ones are to be told by
        # what is known of their traces.
        known = replace(state, kept_from_hour=kept_hours(state, listing))
        step = without_expired(known, retention, now_ms=now_ms)
        if step == known:
            return state
        step = replace(step, revision=state.revision + 1)
        if folder.publish(step):
            return step


def _no_files(names: Sequence[str]) -> Sequence[Path]:
    raise AssertionError(f"expiry reads no file of the lake, but asked for {names}")
