"""The tables of what is derived: their names and queries, and views of the files of a state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_state import DerivedState, Part, kept_from_ns
from tracecanary.analytics.engine import Engine, Within
from tracecanary.schema import LakeTable

# Rows of a derived table are replaced trace by trace, or added up.
ROW_TABLES = ("facts", "judgements", "trace_models", "responses")
SUM_TABLES = (
    "rollup_keys",
    "rollup_groups",
    "rollup_evaluators",
    "rollup_histograms",
    "rollup_group_histograms",
    "rollup_tails",
    "rollup_clusters",
    "rollup_examples",
    "rollup_hours",
    "rollup_models",
    "rollup_tools",
    "rollup_unmatched",
    "rollup_measures",
)
# The queries of tables that have no rows yet.
EMPTY_QUERIES = {
    "facts": "no_facts_v2",
    "judgements": "no_judgements_v1",
    "trace_models": "no_trace_models_v1",
    "responses": "no_responses_v1",
    "superseded": "no_superseded_v1",
}
_SECOND_VERSIONS = {
    *("rollup_groups", "rollup_groups_sum", "rollup_histograms", "rollup_models", "rollup_models_sum"),
}
DERIVED_TABLES = (*ROW_TABLES, "superseded", *SUM_TABLES)
# By table, when its rows are of, ns since the epoch. Keys of rollups have no time, nor have judgements without a trace.
TIMES_OF = {
    table: "hour_unix_ns" if table == "rollup_hours" else "day_unix_ns"
    for table in SUM_TABLES
    if table not in {"rollup_keys", "rollup_unmatched"}
}


def rollup_query(name: str) -> str:
    """Return the query file of a rollup; with the suffix `_sum`, of the one that adds up several parts."""
    return f"{name}_v2" if name in _SECOND_VERSIONS else f"{name}_v1"


def open_derived(engine: Engine, folder: DerivedFolder, state: DerivedState) -> None:
    """Make views of everything derived: `stored_<table>` of each table, and `live_<table>` of those of rows.

    What has expired is not among them, whether it is deleted yet or not.
    """
    open_parts(engine, folder, state)
    leave_out_expired(engine, folder, state)


def open_expiry(engine: Engine, state: DerivedState) -> None:
    """Make `expiry`: since when facts and rollups are kept."""
    days = {"facts_from_ns": state.facts_from_ns, "rollups_from_ns": state.rollups_from_ns}
    engine.table("expiry", "expiry_v1", days)


def open_parts(engine: Engine, folder: DerivedFolder, state: DerivedState) -> None:
    """Make the same views; but rows of traces have those of traces whose facts have expired."""
    _open_tables(engine, folder, state, DERIVED_TABLES)


def open_known(engine: Engine, folder: DerivedFolder, state: DerivedState, parts: Sequence[Part]) -> None:
    """Make the views of rows, of `parts` alone: of all that may know what is looked for; and of rollup keys."""
    # A later part supersedes rows of an earlier one; whether a dimension has too many values, all parts tell together.
    _open_tables(engine, folder, state, ("superseded", "rollup_keys"))
    _open_tables(engine, folder, replace(state, parts=tuple(parts)), ROW_TABLES)
    leave_out_expired(engine, folder, state, facts_of=parts)


def _open_tables(engine: Engine, folder: DerivedFolder, state: DerivedState, tables: Sequence[str]) -> None:
    for table in tables:
        names = state.files_of(table)
        if names:
            engine.files_view(f"stored_{table}", [folder.path / name for name in names], within=kept_rows(table, state))
        elif table not in SUM_TABLES:
            engine.table(f"stored_{table}", EMPTY_QUERIES[table])
    for table in ROW_TABLES:
        if table in tables:
            engine.view(f"live_{table}", f"live_{table}_v1")


def kept_rows(table: str, state: DerivedState) -> Within | None:
    """Return which rows of a table have not expired; None for those of traces, and while none has."""
    least = state.facts_from_ns if table == "rollup_examples" else state.rollups_from_ns  # examples are traces
    return Within(column=TIMES_OF[table], least=least) if least and table in TIMES_OF else None


def leave_out_expired(
    engine: Engine, folder: DerivedFolder, state: DerivedState, *, facts_of: Sequence[Part] | None = None
) -> None:
    """Take the traces whose facts have expired out of the rows: they are superseded, by nothing.

    Of traces of which the lake may still have a late span, their extent alone stays: without it, that span would be
    taken for a trace of its own. With `facts_of`, rows of facts are those of these parts.
    """
    facts = (replace(state, parts=tuple(facts_of)) if facts_of is not None else state).files_of("facts")
    if not state.facts_from_day or not facts:
        return
    spans_from_ns = kept_from_ns(state.kept_from_hour).get(LakeTable.SPANS, 0)
    days = {"facts_from_ns": state.facts_from_ns, "spans_from_ns": spans_from_ns}
    engine.table("expired_traces", "expired_traces_v1", days)
    for table, names in (("superseded", state.files_of("superseded")), ("facts", facts)):
        engine.files_view(f"filed_{table}", [folder.path / name for name in names])
    engine.view("expired_superseded", "expired_superseded_v1")
    engine.view("expired_facts", "expired_facts_v1")
    engine.union("stored_superseded", ["filed_superseded", "expired_superseded"])
    engine.union("stored_facts", ["filed_facts", "expired_facts"])
