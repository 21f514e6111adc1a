"""The steps of deriving facts and rollups from new rows of a lake. All numbers come from the query files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_files import DerivedFolder
from tracecanary.analytics.derived_keys import KEYS_TABLE, knows_any
from tracecanary.analytics.derived_state import DerivedState, Part
from tracecanary.analytics.derived_tables import (
    EMPTY_QUERIES,
    ROW_TABLES,
    SUM_TABLES,
    TIMES_OF,
    kept_rows,
    open_derived,
    rollup_query,
)
from tracecanary.analytics.engine import Engine, Within
from tracecanary.analytics.prices import ModelNames, rate_table
from tracecanary.analytics.question import MAX_DIMENSION_VALUES
from tracecanary.schema import LakeTable

# What is known of a trace is looked for in the files of the minutes that its spans are in.
_SEARCH_WIDTH_NS = 60_000_000_000


def open_new_rows(engine: Engine, *, spans: Sequence[Path], evaluations: Sequence[Path]) -> None:
    """Make `new_spans` and `new_evaluations` of files of new rows."""
    engine.lake_view("arrived_spans", LakeTable.SPANS, spans)
    engine.union("new_spans", ["arrived_spans"])
    engine.lake_view("new_evaluations", LakeTable.EVALUATIONS, evaluations)


def parts_to_open(
    engine: Engine, folder: DerivedFolder, state: DerivedState, *, touched: Sequence[tuple[int, int]] = ()
) -> list[Part]:
    """Return the parts that may know what `new_spans` and `new_evaluations` speak of.

    Args:
        engine: Has the new rows.
        folder: Where derived files stand.
        state: What was derived before.
        touched: As for `find_dirty`.
    """
    # Responses have no keys, and which traces were touched is not known yet.
    (new,) = engine.rows("new_by_response_v1")
    if touched or new["are_by_response"] or any(part.by_response for part in state.parts):
        return list(state.parts)
    keys = engine.integers("new_keys_v2")
    return [part for part in state.parts if knows_any(folder.path / part.files[KEYS_TABLE], keys)]


def leave_out_late_spans(engine: Engine) -> int:
    """Make `new_spans` those that count, after `open_retention`; return how many came too late for that."""
    engine.table("final_traces", "final_traces_v1")
    engine.view("new_spans", "kept_spans_v1")
    (late,) = engine.rows("late_spans_v1")
    return int(late["spans"])


def open_retention(engine: Engine, kept_ns: Mapping[LakeTable, int]) -> None:
    """Make `retention`: since when rows are kept, ns since the epoch, of each table of which some have been dropped."""
    spans_ns, evaluations_ns = (kept_ns.get(table, -(2**63)) for table in (LakeTable.SPANS, LakeTable.EVALUATIONS))
    engine.table("retention", "retention_v1", {"spans_from_ns": spans_ns, "evaluations_from_ns": evaluations_ns})


def find_dirty(engine: Engine, *, touched: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    """Make `dirty_traces` of the new rows, and what was derived of these traces before.

    Args:
        engine: Has the new rows, what was derived before, and `retention`.
        touched: Ranges of time, ns since the epoch, both ends included, whose traces are derived again in any case.

    Returns:
        Ranges of time in which the spans that are known of the dirty traces start, ns since the epoch.
    """
    engine.table("touched_ranges", "ranges_v1", {"ranges": [list(one) for one in touched]})
    engine.table("rederived_traces", "rederived_traces_v1")
    engine.table("dirty_responses", "dirty_responses_v1")
    engine.table("dirty_traces", "dirty_traces_v1")
    for table in ROW_TABLES:
        engine.table(f"old_{table}", f"old_{table}_v1")
    ranges = engine.rows("old_ranges_v1", {"width_ns": _SEARCH_WIDTH_NS})
    return [(row["first_ns"], row["last_ns"]) for row in ranges]


def open_known_rows(engine: Engine, *, spans: Sequence[Path]) -> None:
    """Make `landing_spans`: all spans of the dirty traces, those that were read before from the files `spans`."""
    if spans:
        engine.lake_view("earlier_spans", LakeTable.SPANS, spans)
        engine.table("known_spans", "known_spans_v1")
        engine.union("landing_spans", ["new_spans", "known_spans"])
    else:
        engine.union("landing_spans", ["new_spans"])


def outline_traces(engine: Engine, settings: DerivationSettings) -> None:
    """Make `trace_outlines` and `intricate_traces` of `landing_spans`, and what both ways to facts look up.

    That is `contexts`, `call_contexts` and `rates`: each way to name a model is looked up once.
    """
    engine.table("contexts", "contexts_v2")
    engine.table("call_contexts", "call_contexts_v2")
    engine.union("billed_spans", ["landing_spans"])
    models = [ModelNames(**row) for row in engine.rows("billed_models_v1")]
    engine.arrow_table("rates", rate_table(models, settings.prices))
    engine.view("rated_spans", "rated_spans_v1")
    engine.table("trace_outlines", "trace_outlines_v3")
    engine.table("intricate_traces", "intricate_traces_v1")


def derive_dimensions(engine: Engine, settings: DerivationSettings, *, without: Collection[str] = ()) -> None:
    """Make `trace_dimensions` of `all_spans`: of the declared dimensions, but for those that are too wide."""
    declared = [(one.name, one.stored_as) for one in settings.dimensions if one.name not in without]
    if declared:
        names, keys = zip(*declared, strict=True)
        engine.arrow_table("declared_dimensions", pa.table({"name": names, "stored_as": keys}))
        engine.table("trace_dimensions", "trace_dimensions_v2")
    else:  # the usual case, without looking at the attributes of every span
        engine.table("trace_dimensions", "no_trace_dimensions_v1")


def derive_measures(engine: Engine, settings: DerivationSettings) -> None:
    """Make `trace_measures` of `all_spans`: the values of the declared own metrics."""
    if not settings.metrics:  # the usual case, without looking at the attributes of every span
        engine.table("trace_measures", "no_trace_measures_v1")
        return
    declared = [
        {
            "name": metric.name,
            "attribute": metric.attribute,
            "take": metric.take.value,
            "kind": metric.kind.value,
            "is_lower_worse": metric.is_lower_worse,
        }
        for metric in settings.metrics
    ]
    engine.arrow_table("declared_measures", pa.Table.from_pylist(declared))
    engine.table("trace_measures", "trace_measures_v1")


def wide_dimensions(engine: Engine, state: DerivedState) -> list[str]:
    """Name the dimensions with more than `MAX_DIMENSION_VALUES` values, in what is derived and what is about to be."""
    engine.union("seen_rollup_keys", ["new_rollup_keys", *(["stored_rollup_keys"] if state.parts else [])])
    return [row["name"] for row in engine.rows("wide_dimensions_v1", {"most": MAX_DIMENSION_VALUES})]


def derive_calls(engine: Engine) -> None:
    """Make `spans`, `trace_calls`, `calls_of_models` and `judge_usage` of the traces whose spans are `close_spans`."""
    engine.view("plain_spans", "plain_spans_v2")
    engine.table("delivered_spans", "unique_spans_v2")
    engine.table("retold_calls", "retold_calls_v1")
    if engine.count("retold_calls"):
        engine.table("unique_spans", "placed_spans_v1")
    else:
        engine.union("unique_spans", ["delivered_spans"])
    engine.union("billed_spans", ["unique_spans", "plain_spans"])
    engine.table("priced_spans", "priced_spans_v2")
    engine.table("judge_spans", "judge_spans_v1")
    engine.table("judge_usage", "judge_usage_v2")
    engine.table("plain_trace_calls", "plain_trace_calls_v2")
    engine.view("plain_calls_of_models", "plain_calls_of_models_v2")
    engine.table("no_calls_of_models", "no_calls_of_models_v1")
    engine.view("intricate_spans", "application_spans_v1")
    if engine.count("intricate_traces"):
        engine.union("spans", ["intricate_spans"])
        engine.table("attempts", "attempts_v2")
        engine.table("calls", "calls_v1")
        engine.table("intricate_trace_calls", "trace_calls_v1")
        engine.union("trace_calls", ["intricate_trace_calls", "plain_trace_calls"])
        engine.table("intricate_calls_of_models", "calls_of_models_v2")
        engine.union("spans", ["intricate_spans", "plain_spans"])
        engine.view("judge_calls_of_models", "judge_calls_of_models_v1")
        parts = ["intricate_calls_of_models", "plain_calls_of_models", "embedding_calls", "judge_calls_of_models"]
    else:  # the usual case, without the cost of planning what has no rows
        engine.union("trace_calls", ["plain_trace_calls"])
        engine.union("spans", ["plain_spans"])
        parts = ["plain_calls_of_models", "embedding_calls"]
    engine.view("embedding_calls", "embedding_calls_v1")
    engine.union("calls_of_models", [*parts, "no_calls_of_models"])


def _derive_trace_facts(
    engine: Engine, settings: DerivationSettings, *, without_dimensions: Collection[str], closely: bool
) -> None:
    """Make `close_facts`, `ordinary_facts`, `ordinary_trace_models` and `answering_spans`, and what they read."""
    outline_traces(engine, settings)
    engine.table("close_traces", "outlined_traces_v1" if closely else "close_traces_v1")
    engine.table("close_spans", "close_spans_v1")
    engine.view("ordinary_spans", "ordinary_spans_v1")
    derive_calls(engine)
    engine.view("answering_spans", "answering_spans_v2")
    engine.union("all_spans", ["spans", "ordinary_spans"])
    engine.table("trace_details", "trace_details_v1")
    derive_dimensions(engine, settings, without=without_dimensions)
    derive_measures(engine, settings)
    engine.table("trace_contexts", "trace_contexts_v1")
    engine.table("close_facts", "trace_facts_v3")
    engine.view("ordinary_facts", "ordinary_facts_v2")
    engine.view("ordinary_trace_models", "ordinary_trace_models_v2")


def derive_facts(
    engine: Engine,
    settings: DerivationSettings,
    *,
    revision: int,
    without_dimensions: Collection[str] = (),
    closely: bool = False,
) -> None:
    """Make `new_<table>` of every derived table, from `landing_spans`, `new_evaluations` and what was there before.

    `closely` looks closely at every trace, also where that changes nothing.
    """
    _derive_trace_facts(engine, settings, without_dimensions=without_dimensions, closely=closely)
    engine.table("new_trace_models", "trace_models_v2", {"revision": revision})
    engine.table("step", "step_v1", {"revision": revision})
    engine.view("new_responses", "responses_v1")  # the most rows of all, read only to be written
    engine.union("arrived_evaluations", ["old_judgements", "new_evaluations"])
    engine.table("answers", "answers_v1")
    engine.table("landing_evaluations", "placed_evaluations_v1")
    engine.table("new_judgements", "judgements_v1", {"revision": revision})
    engine.table("evaluations", "evaluations_v1")
    engine.view("trace_evaluations", "trace_evaluations_v1")
    engine.view("trace_feedback", "trace_feedback_v1")
    engine.table("outcomes", "outcomes_v1")
    engine.table("new_facts", "facts_v3", {"revision": revision})
    _roll_up(engine, revision=revision)


def carry_over(
    engine: Engine, folder: DerivedFolder, state: DerivedState, kept_ns: Mapping[LakeTable, int], *, revision: int
) -> None:
    """Make `new_<table>` of every derived table: of the traces of `state` that can't be derived from the lake again."""
    open_derived(engine, folder, state)
    open_retention(engine, kept_ns)
    engine.table("outlived_traces", "outlived_traces_v1")
    for table in ("judgements", "facts", "trace_models", "responses"):  # facts read judgements
        engine.table(f"new_{table}", f"carried_{table}_v1", {"revision": revision})
    for table in ROW_TABLES:
        engine.table(f"old_{table}", EMPTY_QUERIES[table])
    _roll_up(engine, revision=revision)


def carry_rollups(engine: Engine, folder: DerivedFolder, state: DerivedState) -> None:
    """Make `new_<table>` of every derived table: what rollups alone still know, of the traces whose facts have expired.

    Sums by model are by the day of a call, which may be later than that of its trace: there, what the live traces make
    of them is taken away from all that there is.
    """
    open_derived(engine, folder, state)
    engine.view("old_trace_models", "live_trace_models_v1")
    for table in ROW_TABLES:
        _view_none(engine, f"new_{table}", folder, state, table)
    engine.table("undone_rollup_models", rollup_query("rollup_models"))
    for table, column in TIMES_OF.items():
        if table != "rollup_models":
            paths = [folder.path / name for name in state.files_of(table)]
            days = Within(column=column, least=state.rollups_from_ns, below=state.facts_from_ns)
            engine.files_view(f"stored_{table}", paths, within=days)
    engine.files_view(
        "filed_rollup_models",
        [folder.path / name for name in state.files_of("rollup_models")],
        within=kept_rows("rollup_models", state),
    )
    engine.union("stored_rollup_models", ["filed_rollup_models", "undone_rollup_models"])
    for table in ("rollup_examples", "rollup_unmatched"):  # of traces, and of those that are derived again
        _view_none(engine, f"stored_{table}", folder, state, table)
    engine.table("new_superseded", EMPTY_QUERIES["superseded"])
    sum_up(engine, has_expired=True)


def _view_none(engine: Engine, name: str, folder: DerivedFolder, state: DerivedState, table: str) -> None:
    """Make a view with the columns of a table, and no rows."""
    column = "unmatched" if table == "rollup_unmatched" else "revision"
    paths = [folder.path / name for name in state.files_of(table)]
    engine.files_view(name, paths, within=Within(column=column, least=2**62, below=0))


def sum_up(engine: Engine, *, has_expired: bool) -> None:
    """Make `new_<table>` of the rollups: those of several parts, added up; if days have expired, without their keys."""
    for table in SUM_TABLES:
        engine.table(f"new_{table}", rollup_query(f"{table}_sum"))
    if has_expired:
        engine.table("new_rollup_keys", "used_rollup_keys_v1")


def _roll_up(engine: Engine, *, revision: int) -> None:
    """Make the tables of sums from the rows `new_<table>`, which come, and `old_<table>`, which go."""
    engine.table("new_superseded", "superseded_v1", {"revision": revision})
    engine.view("rolled", "rolled_v2")
    for table in SUM_TABLES:
        given = {"revision": revision} if table == "rollup_examples" else None
        engine.table(f"new_{table}", rollup_query(table), given)


def derive_traces(
    engine: Engine, trace_ids: Sequence[str], settings: DerivationSettings, *, spans: Sequence[Path]
) -> None:
    """Make what `trace_facts` reads, `attempts` and `evaluations` of a few traces, from the files `spans`."""
    engine.table("old_facts", "traces_of_v1", {"trace_ids": list(trace_ids)})
    engine.table("rederived_traces", "known_traces_v1")
    engine.table("dirty_traces", "known_traces_v1")
    engine.lake_view("earlier_spans", LakeTable.SPANS, spans)
    engine.table("landing_spans", "known_spans_v1")
    outline_traces(engine, settings)
    engine.table("intricate_traces", "known_traces_v1")
    engine.union("close_spans", ["landing_spans"])
    derive_calls(engine)
    engine.table("spans_above_tokens", "spans_above_tokens_v1")
    engine.table("landing_evaluations", "old_judgements_v1")
    engine.view("evaluations", "evaluations_v1")
