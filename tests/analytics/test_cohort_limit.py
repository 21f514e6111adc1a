"""An answer with many cohorts shows the largest and those that lose, and says what it leaves out."""

import pytest
from tests.analytics.evidence_cases import Pair, answer, arm, cell

from tracecanary.analytics.answer import Answer, Verdict
from tracecanary.analytics.cohort_limit import limited
from tracecanary.analytics.evidence import MetricKey
from tracecanary.analytics.question import Question, Selection
from tracecanary.schema import InvalidQuestionError

FAILING: dict[MetricKey, float] = {("error_rate", None): 0.12}
# By size: c0 the largest. The smallest but one loses.
SIZES = {"c0": 9000, "c1": 8000, "c2": 7000, "c3": 6000, "c4": 500, "c5": 400}
LOSING = "c4"


def cohorts() -> list[Pair]:
    return [
        cell(arm(traces), arm(traces, rates=FAILING if name == LOSING else None), cohort=name)
        for name, traces in SIZES.items()
    ]


@pytest.fixture(scope="module")
def whole() -> Answer:
    return answer(*cohorts())


def names(made: Answer) -> list[str]:
    return [one.cohort for one in made.cohorts]


def test_the_largest_and_those_that_lose_are_shown(whole: Answer) -> None:
    assert names(limited(whole, 2)) == ["c0", "c1", LOSING]


def test_what_is_shown_changes_no_number_and_no_verdict(whole: Answer) -> None:
    made = limited(whole, 2)

    assert whole.overall.verdict is Verdict.NARROW
    assert (made.overall.verdict, made.overall.metrics, made.overall.traces, made.checks) == (
        whole.overall.verdict,
        whole.overall.metrics,
        whole.overall.traces,
        whole.checks,
    )
    assert made.cohorts == [one for one in whole.cohorts if one.cohort in ("c0", "c1", LOSING)]


def test_what_is_left_out_is_counted_and_told(whole: Answer) -> None:
    made = limited(whole, 2)

    hidden = made.overall.not_shown
    assert hidden is not None
    assert (hidden.cohorts, hidden.losing) == (3, 0)
    assert (hidden.traces.base, hidden.traces.candidate) == (13_400, 13_400)
    assert hidden.weight == pytest.approx(13_400 / sum(SIZES.values()))
    assert made.overall.reasons[-1].startswith(
        "3 smaller cohorts with 43.4% of the compared traces are judged, but not"
    )


def test_cohorts_that_are_not_shown_are_routed_nowhere_unless_they_lose() -> None:
    losing = [cell(arm(500), arm(500, rates=FAILING), cohort=f"loser-{number}") for number in range(3)]

    made = limited(answer(*cohorts(), *losing), 1)

    assert names(made) == ["c0", LOSING]  # as many for their loss as for their size
    assert made.routing.base == [LOSING, "loser-0", "loser-1", "loser-2"]
    assert (made.routing.candidate, made.routing.unverified, made.routing.not_listed) == (["c0"], [], 4)
    assert made.overall.not_shown is not None
    assert made.overall.not_shown.losing == 3
    assert "3 of them lose, and stay on the base" in made.overall.reasons[-1]


def test_a_limit_on_a_limit_is_the_lower_one(whole: Answer) -> None:
    assert limited(limited(whole, 3), 1) == limited(whole, 1)
    assert limited(limited(whole, 1), 3) == limited(whole, 1)


def test_a_lower_limit_keeps_those_that_lose_on_the_base() -> None:
    losing = [cell(arm(500), arm(500, rates=FAILING), cohort=f"loser-{number}") for number in range(4)]
    whole = answer(*cohorts(), *losing)

    made = limited(limited(whole, 2), 1)

    assert made.routing.base == [LOSING, *(f"loser-{number}" for number in range(4))]
    assert made.routing == limited(whole, 1).routing


def test_an_answer_within_the_limit_stays_as_it_is(whole: Answer) -> None:
    assert limited(whole, len(SIZES)) is whole
    assert whole.overall.not_shown is None


@pytest.mark.parametrize("given", [0, 1001])
def test_a_limit_out_of_bounds_is_refused(given: int) -> None:
    with pytest.raises(InvalidQuestionError, match="from 1 to 1,000"):
        Question(selection=Selection(arms=("base", "candidate")), max_cohorts=given)
