"""Cohort dimensions that the configuration declares: in every answer, added later, and bounded."""

from pathlib import Path

import pytest
from tests.analytics.lake import write_spans

from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.listings import list_cohorts, metric_series
from tracecanary.analytics.question import MAX_DIMENSION_VALUES, Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import list_traces
from tracecanary.analytics.trajectory import compare_trajectories
from tracecanary.schema import CohortDimension, DimensionSource, InvalidQuestionError

DECLARED = DerivationSettings(
    dimensions=(
        CohortDimension("plan", DimensionSource.ATTRIBUTE, "app.plan"),
        CohortDimension("tenant", DimensionSource.BAGGAGE, "tenant.id"),
        CohortDimension("region", DimensionSource.RESOURCE, "cloud.region"),
    )
)
BY_PLAN = Selection(arms=("base", "candidate"), cohort_by=("plan",))
PLANS = {"t1": "gold", "t2": "gold", "t3": "free", "t4": None}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    spans = []
    for trace_id, plan in PLANS.items():
        told = {"resource.cloud.region": "eu", **({"app.plan": plan} if plan else {})}
        spans += [
            {"trace_id": trace_id, "span_id": "r", "kind": "agent", "start_unix_ns": 0},
            {
                "trace_id": trace_id,
                "span_id": "a",
                "parent_span_id": "r",
                "kind": "llm",
                "start_unix_ns": 1,
                "model": "candidate" if trace_id == "t2" else "base",
                "attributes": told,
            },
        ]
    write_spans(tmp_path, spans)
    return tmp_path


def test_any_span_of_a_trace_tells_its_cohort_in_every_answer(lake: Path) -> None:
    store = Store(lake, DECLARED)

    answer = compare(store, Question(selection=BY_PLAN)).answer
    cohorts = {row.cohort: row.traces for row in list_cohorts(store, BY_PLAN)}
    listed = {row.trace_id: row.cohort for row in list_traces(store, BY_PLAN)}
    places = compare_trajectories(store, Question(selection=BY_PLAN)).places
    hours = metric_series(store, BY_PLAN, metric="error_rate", step_s=3600, is_by_cohort=True)
    seconds = metric_series(store, BY_PLAN, metric="latency_p50", step_s=1, is_by_cohort=True)

    assert {cohort.cohort: cohort.traces.base for cohort in answer.cohorts} == {"gold": 1, "free": 1, "(none)": 1}
    assert cohorts == {"gold": 2, "free": 1, "(none)": 1}
    assert listed == {trace_id: plan or "(none)" for trace_id, plan in PLANS.items()}
    assert {place.cohort for place in places} == {None, "gold", "free", "(none)"}
    for series in (hours, seconds):
        assert {(row.arm, row.cohort, row.n) for row in series} == {
            ("base", "gold", 1),
            ("candidate", "gold", 1),
            ("base", "free", 1),
            ("base", "(none)", 1),
        }


def test_several_dimensions_make_one_cohort_and_choose_traces(lake: Path) -> None:
    store = Store(lake, DECLARED)
    selection = Selection(cohort_by=("region", "plan"), cohorts=("eu / gold",))

    assert [(row.cohort, row.traces) for row in list_cohorts(store, selection)] == [("eu / gold", 2)]
    assert {row.trace_id for row in list_traces(store, selection)} == {"t1", "t2"}


def test_a_dimension_added_later_is_made_from_the_stored_spans(lake: Path) -> None:
    with Store(lake).session():
        pass

    later = list_cohorts(Store(lake, DECLARED), Selection(cohort_by=("plan",)))

    assert {row.cohort: row.traces for row in later} == {"gold": 2, "free": 1, "(none)": 1}


def test_an_unknown_dimension_is_refused_with_those_there_are(lake: Path) -> None:
    with pytest.raises(InvalidQuestionError, match="prompt, plan, tenant, region"):
        list_cohorts(Store(lake, DECLARED), Selection(cohort_by=("plam",)))
    with pytest.raises(InvalidQuestionError, match=r"prompt, with commas; \[cohorts.dimensions\] declares others"):
        list_cohorts(Store(lake), Selection(cohort_by=("plan",)))


def test_a_dimension_with_too_many_values_is_left_out_and_said_to_be(lake: Path) -> None:
    most = MAX_DIMENSION_VALUES
    store = Store(lake, DECLARED)
    assert len(list_cohorts(store, Selection(cohort_by=("tenant",)))) == 1
    call = {"span_id": "a", "kind": "llm", "model": "base", "start_unix_ns": 2}
    write_spans(
        lake,
        [{"trace_id": f"u{number}", **call, "attributes": {"tenant.id": str(number)}} for number in range(most + 1)],
    )

    with pytest.raises(InvalidQuestionError, match=r"more than 1,000 values.*Use one or more of .*plan, region"):
        list_cohorts(store, Selection(cohort_by=("tenant",)))
    rest = list_cohorts(store, Selection(cohort_by=("plan",)))

    assert {row.cohort: row.traces for row in rest} == {"gold": 2, "free": 1, "(none)": most + 2}
    again = list_cohorts(Store(lake, DECLARED), Selection(cohort_by=("plan",)))
    assert again == rest, "it stays so for other readers of what is derived"
