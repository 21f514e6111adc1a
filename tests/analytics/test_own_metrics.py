"""Metrics that the configuration declares: in every answer, under the policy, and derived as everything else is."""

from __future__ import annotations

import dataclasses
import random
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from tests.analytics.lake import write_spans

from tracecanary.analytics.answer import Answer, CellState, MetricRow, Verdict
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.engine import Engine
from tracecanary.analytics.listings import metric_series
from tracecanary.analytics.metrics import METRICS, catalogue
from tracecanary.analytics.policy import Policy, parse_policy, policy_template
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import explain_trace
from tracecanary.schema import (
    BUILT_IN_METRICS,
    MAX_OWN_METRICS,
    ConfigFileError,
    ConfigurationError,
    InvalidQuestionError,
    OwnMetric,
    read_config_file,
    read_own_metrics,
)

CONFIG = """
[metrics.refund]
attribute = "app.refund"
unit = "EUR"
[metrics.unsolved]
attribute = "app.solved"
kind = "rate"
worse = "lower"
margin = 0.05
guardrail = true
"""
ARMS = Selection(arms=("base", "candidate"))
HOUR_NS, DAY_NS = 3_600 * 10**9, 86_400 * 10**9
TRACES = 3000


def declared(folder: Path, text: str = CONFIG) -> tuple[OwnMetric, ...]:
    path = folder / "config.toml"
    path.write_text(text)
    file = read_config_file(path)
    metrics = read_own_metrics(file)
    file.check()
    return metrics


def write_traffic(lake: Path, *, unsolved: float, stated: tuple[float, float] = (1.0, 1.0)) -> None:
    """Write traces of a day: a tenth of the base's are unsolved, and some of `unsolved` of the candidate's."""
    rng = random.Random(7)  # noqa: S311  # a test, no secret
    spans = []
    for number in range(TRACES):
        arm = number % 2
        attributes = {"app.refund": str(rng.choice([3, 4.5, 6])), "app.solved": "true"}
        attributes["app.solved"] = "false" if rng.random() < (0.1, unsolved)[arm] else "true"
        if rng.random() > stated[arm]:
            attributes = rng.choice([{}, {"app.refund": "a lot"}])
        spans.append(
            {
                "trace_id": f"{number:032x}",
                "span_id": "a" * 16,
                "kind": "llm",
                "model": ("base", "candidate")[arm],
                "start_unix_ns": number * DAY_NS // TRACES,
                "attributes": attributes,
            }
        )
    write_spans(lake, spans)


def opened(lake: Path, metrics: tuple[OwnMetric, ...]) -> Store:
    return Store(lake, DerivationSettings(metrics=metrics))


def answer_of(store: Store, selection: Selection = ARMS) -> Answer:
    return compare(store, Question(selection=selection, policy=Policy(metrics=store.metrics))).answer


def row_of(answer: Answer, metric: str) -> MetricRow:
    (row,) = (row for row in answer.overall.metrics if row.metric == metric)
    return row


def test_a_guardrail_of_ones_own_that_is_worse_blocks_the_release(tmp_path: Path) -> None:
    write_traffic(tmp_path, unsolved=0.4)

    answer = answer_of(opened(tmp_path, declared(tmp_path)))

    row = row_of(answer, "unsolved")
    assert (row.unit, row.margin, row.role, row.state) == ("fraction", 0.05, "guardrail", CellState.HARM)
    assert row.base.n == row.candidate.n == TRACES // 2
    assert row.base.value == pytest.approx(0.1, abs=0.03)
    assert row.candidate.value == pytest.approx(0.4, abs=0.04)
    assert row.ci_low is not None
    assert row.ci_low > 0.05
    assert answer.overall.verdict is not Verdict.SHIP
    assert any(
        "unsolved" in reason for cohort in answer.cohorts for reason in [*answer.overall.reasons, *cohort.reasons]
    )


def test_a_mean_of_ones_own_has_an_interval_and_informs(tmp_path: Path) -> None:
    write_traffic(tmp_path, unsolved=0.1)

    answer = answer_of(opened(tmp_path, declared(tmp_path)))

    row = row_of(answer, "refund")
    assert (row.unit, row.effect_kind, row.role, row.state) == ("EUR", "ratio", "informative", CellState.SAFE)
    assert row.base.value == pytest.approx(4.5, rel=0.05)
    assert row.ci_low is not None
    assert row.ci_high is not None
    assert row.ci_low < 1 < row.ci_high
    assert row_of(answer, "unsolved").state in {CellState.SAFE, CellState.UNSURE}


def test_a_trace_without_the_attribute_is_in_no_denominator_and_the_gap_is_told(tmp_path: Path) -> None:
    write_traffic(tmp_path, unsolved=0.1, stated=(1.0, 0.5))

    answer = answer_of(opened(tmp_path, declared(tmp_path)))

    row, coverage = row_of(answer, "refund"), answer.checks.coverage
    assert row.base.n == TRACES // 2
    assert row.candidate.n == pytest.approx(TRACES / 4, rel=0.1)
    assert coverage.figures["candidate_with_refund"] == pytest.approx(0.5, abs=0.05)
    unusable = coverage.figures["unusable_refund"]
    assert unusable == pytest.approx(TRACES / 8, rel=0.15)
    assert coverage.is_blocking
    assert "with refund: 100% of the base's traces, " in (coverage.reason or "")
    assert f"{unusable} traces state a value of refund that is no number from 0 to 10,000,000" in (
        coverage.reason or ""
    )


def test_traces_of_cohorts_that_one_arm_alone_saw_state_nothing_of_the_arms(tmp_path: Path) -> None:
    spans = [
        {
            "trace_id": f"{number:032x}",
            "span_id": "a" * 16,
            "kind": "llm",
            "model": ("base", "candidate")[number % 2],
            # The base alone saw the cohort `old`, where nothing usable is stated.
            "cohort": "old" if number % 4 == 0 else "both",
            "attributes": {"app.refund": "a lot" if number % 4 == 0 else "3"},
        }
        for number in range(400)
    ]
    write_spans(tmp_path, spans)

    coverage = answer_of(opened(tmp_path, declared(tmp_path))).checks.coverage

    names = ("base_with_refund", "candidate_with_refund", "unusable_refund")
    assert [coverage.figures[name] for name in names] == [1, 1, 0]
    assert "refund" not in (coverage.reason or "")


def test_pieces_of_days_and_hours_of_series_count_the_same_traces(tmp_path: Path) -> None:
    write_traffic(tmp_path, unsolved=0.3)
    store = opened(tmp_path, declared(tmp_path))
    whole = row_of(answer_of(store), "refund")

    begin = datetime.fromtimestamp(DAY_NS / 2 / 10**9, UTC)
    later = row_of(answer_of(store, dataclasses.replace(ARMS, from_time=begin)), "refund")
    series = metric_series(store, ARMS, metric="refund", step_s=12 * 3600)

    first, second = (row for row in series if row.arm == "base")
    assert (second.n, later.base.n) == (TRACES // 4, TRACES // 4)
    assert second.value == pytest.approx(later.base.value)
    assert (first.value + second.value) / 2 == pytest.approx(whole.base.value)
    with pytest.raises(InvalidQuestionError, match=r"refunds.*refund, unsolved"):
        metric_series(store, ARMS, metric="refunds", step_s=3600)


def test_a_trace_shows_its_values(tmp_path: Path) -> None:
    span = {"trace_id": "1" * 32, "kind": "llm", "model": "base", "start_unix_ns": 1}
    told = {"app.refund": "1.25", "app.solved": "unknown"}
    write_spans(tmp_path, [{**span, "span_id": "a" * 16, "attributes": told}])

    facts = explain_trace(opened(tmp_path, declared(tmp_path)), "1" * 32).facts

    assert facts is not None
    assert facts["own_metrics"] == {"refund": 1.25, "unsolved": None}


def test_a_metric_declared_later_is_made_of_the_spans_that_are_stored(tmp_path: Path) -> None:
    write_traffic(tmp_path, unsolved=0.1)
    metrics = declared(tmp_path)

    without = answer_of(opened(tmp_path, ()))
    one = answer_of(opened(tmp_path, metrics[:1]))
    both = answer_of(opened(tmp_path, metrics))

    assert [row.metric for row in without.overall.metrics] == [metric.name for metric in METRICS]
    assert row_of(one, "refund") == row_of(both, "refund")
    assert row_of(both, "unsolved").base.n == TRACES // 2
    looser = tuple(dataclasses.replace(metric, margin=2.0, is_guardrail=False) for metric in metrics)
    assert opened(tmp_path, looser).derivation == opened(tmp_path, metrics).derivation


def test_a_policy_rules_metrics_of_ones_own(tmp_path: Path) -> None:
    metrics = catalogue(declared(tmp_path))
    document = {"version": 1, "metrics": {"refund": {"margin": 1.5, "role": "guardrail", "critical": True}}}

    policy = parse_policy(document, metrics, name="policy.yaml")

    ruled = policy.metric("refund", None)
    assert (ruled.margin, ruled.is_guardrail, ruled.is_critical) == (1.5, True, True)
    assert policy.metric("unsolved", None).margin == 0.05
    assert "  refund:  # mean of app.refund, added up over the trace, of those that state it" in policy_template(
        metrics
    )
    with pytest.raises(ConfigurationError, match=r"metrics.refund: there is no such metric.*--config"):
        parse_policy(document, name="policy.yaml")


def test_names_of_the_catalogue_are_taken() -> None:
    assert {metric.name for metric in METRICS} | {metric.values_from for metric in METRICS} - {""} == BUILT_IN_METRICS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param('[metrics.error_rate]\nattribute = "a"', "that is a metric already", id="taken"),
        pytest.param('[metrics."My metric"]\nattribute = "a"', "a name has a-z, 0-9 and _ only", id="name"),
        pytest.param("[metrics.a]\nkind = 'rate'", r"\[metrics.a\] attribute is missing", id="no-attribute"),
        pytest.param('[metrics.a]\nattribute = "a"\nkind = "ratio"', "must be one of rate, mean", id="kind"),
        pytest.param('[metrics.a]\nattribute = "a"\ntake = "any"', "must be one of sum, max, min, last", id="take"),
        pytest.param('[metrics.a]\nattribute = "a"\nworse = "lower"', "more is worse: make it a rate", id="worse"),
        pytest.param('[metrics.a]\nattribute = "a"\nmargin = 0.1', "must be a ratio above 1", id="margin-mean"),
        pytest.param(
            '[metrics.a]\nattribute = "a"\nkind = "rate"\nmargin = 1.1',
            "must be a difference of rates",
            id="margin-rate",
        ),
        pytest.param('[metrics.a]\nattribute = "a"\nkind = "rate"\nunit = "EUR"', "has none; remove it", id="unit"),
        pytest.param('[metrics.a]\nattribute = "a"\nguardrail = 1', "must be true or false", id="guardrail"),
        pytest.param('[metrics.a]\nattribute = "a"\nkey = "b"', "is no key of this section", id="unknown-key"),
        pytest.param(
            "".join(f'[metrics.m{number}]\nattribute = "a"\n' for number in range(MAX_OWN_METRICS + 1)),
            "declares 17 metrics, but 16 are the most",
            id="too-many",
        ),
    ],
)
def test_what_makes_no_metric_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigFileError, match=problem):
        declared(tmp_path, text)


def test_sums_of_several_parts_end_where_those_of_one_do() -> None:
    most = 9 * 10**18
    key = {"day_unix_ns": 0, "rollup_key": 1, "g": 1, "metric": "refund"}
    sums = {
        "stated": 1,
        "known": 1,
        "value_total": most,
        "value_sq": Decimal(10) ** 30,
        "value_cube": Decimal(10) ** 30,
    }

    with Engine() as engine:
        engine.arrow_table("stored_rollup_measures", pa.Table.from_pylist([{**key, **sums}] * 2))
        (row,) = engine.rows("rollup_measures_sum_v1")

    assert (row["value_total"], row["value_sq"]) == (most, 2 * Decimal(10) ** 30)
