"""Each folder below `testdata/<query>/` is one case: rows in, rows out, small enough to check by hand.

`spans*.yaml` and `evaluations*.yaml` are one segment each, with columns that are not named left null. `params.yaml`
has the `selection` of traces, declared `dimensions` (attributes by name) and `measures` (own metrics by name), and the
query's own `parameters`. `expected.yaml` has the expected `rows`, in any order, with the columns that the case is
about; `only` leaves other rows out, by column.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.analytics.derivation import compacting_engine, deriving_engine
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.day_blocks import Piece
from tracecanary.analytics.gathering import keys_of, select_keys, select_traces
from tracecanary.analytics.question import Selection
from tracecanary.analytics.rollup_loading import roll_between
from tracecanary.analytics.store import Row, Session, Store
from tracecanary.schema import CohortDimension, DimensionSource, OwnMetric, OwnMetricKind, Taking

TESTDATA = Path(__file__).parent / "testdata"
# Queries of sessions, which answer questions. The others are steps of deriving: an engine in the midst of it runs them.
ANSWERING = {
    "arms_v1",
    "cohorts_v3",
    "cost_gaps_v1",
    "evaluations_v1",
    "judged_outcomes_v1",
    "known_feedback_v1",
    "model_traces_v1",
    "rolled_between_v2",
    "models_v3",
    "series_hours_v1",
    "series_v1",
    "trace_list_v1",
    "traces_of_v1",
    "trajectory_traces_v1",
    "unmatched_evaluations_v1",
}
THOROUGH = {
    *("attempts_v2", "calls_v1", "spans_v1", "trace_calls_v1", "calls_of_models_v2", "trace_spans_v1", "trajectory_v2"),
}
# Of the others of deriving, each is tried on traces that are looked at closely.
AT_A_GLANCE = {
    "close_traces_v1",
    "close_spans_v1",
    "ordinary_spans_v1",
    "ordinary_facts_v2",
    "ordinary_trace_models_v2",
}
CASES = sorted(path.parent for path in TESTDATA.glob("*/*/expected.yaml"))


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.parent.name}-{case.name}") for case in CASES])
def test_query_returns_the_expected_rows(case: Path, tmp_path: Path) -> None:
    for spans in sorted(case.glob("spans*.yaml")):
        write_spans(tmp_path, _load(spans))
    for evaluations in sorted(case.glob("evaluations*.yaml")):
        write_evaluations(tmp_path, _load(evaluations))
    params = _load(case / "params.yaml") if (case / "params.yaml").exists() else {}
    expected = _load(case / "expected.yaml")

    query = case.parent.name
    with open_session(tmp_path, query, params) as session:
        rows = _run(session, query, params)

    only = expected.get("only", {})
    kept = [row for row in rows if all(row[column] in values for column, values in only.items())]
    columns = list(dict.fromkeys(column for row in expected["rows"] for column in row))
    assert _sorted([{column: row[column] for column in columns} for row in kept]) == _sorted(expected["rows"])


def test_every_query_has_a_case() -> None:
    queries = Path(__file__).parents[3] / "analytics" / "tracecanary" / "analytics" / "queries"

    assert {case.parent.name for case in CASES} == {path.stem for path in queries.glob("*.sql")}


def open_session(lake: Path, query: str, params: dict[str, Any]) -> AbstractContextManager[Session]:
    dimensions = [
        CohortDimension(name, DimensionSource.ATTRIBUTE, key) for name, key in params.get("dimensions", {}).items()
    ]
    metrics = [_own_metric(name, **declared) for name, declared in params.get("measures", {}).items()]
    settings = DerivationSettings(dimensions=tuple(dimensions), metrics=tuple(metrics))
    if query in ANSWERING or query.startswith("question_"):
        return Store(lake, settings).session()
    if query.startswith("compacted_"):
        return compacting_engine(lake)
    return deriving_engine(lake, is_thorough=query in THOROUGH, closely=query not in AT_A_GLANCE, settings=settings)


def _own_metric(name: str, *, attribute: str, take: str, kind: str = "mean", is_lower_worse: bool = False) -> OwnMetric:
    return OwnMetric(
        name=name,
        kind=OwnMetricKind(kind),
        attribute=attribute,
        take=Taking(take),
        unit="",
        is_lower_worse=is_lower_worse,
        margin=1.1,
    )


def _run(session: Session, query: str, params: dict[str, Any]) -> list[Row]:
    selected: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in params.get("selection", {}).items()
    }
    selection = Selection(**selected)
    if query in ANSWERING or query.startswith("question_"):
        select_traces(session, selection.parameters())
        select_keys(session, selection)
        roll_between(session, Piece(from_ns=0, to_ns=2**63 - 1))
    if query == "question_traces_v1":
        return session.rows(query, selection.parameters())
    if query == "question_keys_v1":
        return session.rows(query, keys_of(selection))
    return session.rows(query, params.get("parameters"))


def _load(path: Path) -> Any:  # outside data: what YAML holds
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _sorted(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for _, value in sorted(row.items())])
