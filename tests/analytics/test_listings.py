from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.analytics.lake import write_evaluations, write_spans

from tracecanary.analytics import listings
from tracecanary.analytics.listings import SeriesRow, list_cohorts, list_models, metric_series
from tracecanary.analytics.question import Selection
from tracecanary.analytics.store import Store
from tracecanary.schema import InvalidQuestionError

S = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    call = {"span_id": "a", "kind": "llm"}
    write_spans(
        tmp_path,
        [
            {"trace_id": "t1", **call, "model": "base", "start_unix_ns": 0, "duration_ns": 2 * S, "cohort": "shop"},
            {"trace_id": "t2", **call, "model": "base", "start_unix_ns": 59 * S, "duration_ns": 4 * S},
            {"trace_id": "t3", **call, "model": "candidate", "start_unix_ns": 60 * S, "status": "error"},
        ],
    )
    write_evaluations(tmp_path, [{"trace_id": "t1", "name": "reward", "passed": False}])
    return Store(tmp_path)


def time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_models_are_listed_by_name(store: Store) -> None:
    rows = list_models(store)

    assert [(row.model, row.traces, row.llm_errors, row.input_tokens) for row in rows] == [
        ("base", 2, 0, None),
        ("candidate", 1, 1, None),
    ]
    assert (rows[0].first_seen, rows[0].last_seen, rows[0].conventions) == (time(0), time(59), [])


def test_cohorts_are_listed_by_name(store: Store) -> None:
    rows = list_cohorts(store, Selection())

    assert [(row.cohort, row.traces) for row in rows] == [("(none)", 2), ("shop", 1)]


def test_series_ascends_in_time_and_skips_empty_buckets(store: Store) -> None:
    rows = metric_series(store, Selection(), metric="latency_p50", step_s=30)

    assert rows == [
        SeriesRow(time=time(0), arm="base", cohort=None, metric="latency_p50", value=2.0, n=1),
        SeriesRow(time=time(30), arm="base", cohort=None, metric="latency_p50", value=4.0, n=1),
        SeriesRow(time=time(60), arm="candidate", cohort=None, metric="latency_p50", value=0.0, n=1),
    ]


def test_series_by_cohort_names_it(store: Store) -> None:
    rows = metric_series(store, Selection(arms=("base",)), metric="error_rate", step_s=60, is_by_cohort=True)

    assert [(row.cohort, row.value) for row in rows] == [("(none)", 0.0), ("shop", 0.0)]


def test_series_of_judged_traces_alone(store: Store) -> None:
    rows = metric_series(store, Selection(), metric="eval_fail_rate", step_s=60, evaluators=("reward",))

    assert [(row.arm, row.value, row.n) for row in rows] == [("base", 1.0, 1)]
    assert metric_series(store, Selection(), metric="eval_fail_rate", step_s=60, evaluators=("tone",)) == []


@pytest.mark.parametrize(("metric", "step_s", "parameter"), [("speed", 60, "metric"), ("error_rate", 0, "step")])
def test_series_refuses_what_it_cannot_draw(store: Store, metric: str, step_s: int, parameter: str) -> None:
    with pytest.raises(InvalidQuestionError) as caught:
        metric_series(store, Selection(), metric=metric, step_s=step_s)

    assert caught.value.parameter == parameter


def test_series_refuses_too_many_points(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MAX_BUCKETS", 2)

    assert len(metric_series(store, Selection(), metric="error_rate", step_s=60)) == 2
    with pytest.raises(InvalidQuestionError, match="It makes 3 points; use a larger one"):
        metric_series(store, Selection(), metric="error_rate", step_s=30)


def test_empty_lake_lists_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    assert list_models(store) == []
    assert list_cohorts(store, Selection()) == []
    assert metric_series(store, Selection(), metric="latency_p95", step_s=60) == []
