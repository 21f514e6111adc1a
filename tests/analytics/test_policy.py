from pathlib import Path

import pytest
import yaml
from tests.analytics.evidence_cases import EVALUATOR, answer, arm, cell, question, row_of

from tracecanary.analytics.answer import CellState, Verdict
from tracecanary.analytics.policy import Policy, lake_policy, parse_policy, policy_template, read_policy
from tracecanary.schema import ConfigurationError

FAIL_RATE = ("eval_fail_rate", EVALUATOR)


def parsed(text: str) -> Policy:
    return parse_policy(yaml.safe_load(f"version: 1\n{text}"), name="policy.yaml")


def test_the_template_is_the_default_policy() -> None:
    assert parse_policy(yaml.safe_load(policy_template()), name="policy.yaml") == Policy()


def test_a_lake_without_a_policy_has_the_default_one(tmp_path: Path) -> None:
    assert lake_policy(tmp_path) == Policy()


def test_a_lakes_policy_is_read(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("version: 1\nplanned_traces: 900\ncandidate_share: 0.1\n", encoding="utf-8")

    policy = lake_policy(tmp_path)

    assert (policy.planned_traces, policy.candidate_share) == (900, 0.1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("metrics: {p99: {margin: 1.1}}", "metrics.p99: there is no such metric", id="unknown-metric"),
        pytest.param(
            "metrics: {latency_p99: {margin: 0.9}}", "latency_p99.margin: 0.9 is no ratio above 1", id="ratio"
        ),
        pytest.param("metrics: {error_rate: {margin: 2}}", "error_rate.margin: 2.0 is no difference", id="difference"),
        pytest.param("evaluators: {pii: {margin: -1}}", "evaluators.pii.margin: -1.0", id="evaluator"),
        pytest.param("metrics: {error_rate: {role: boss}}", "metrics.error_rate.role", id="role"),
        pytest.param("planned_traces: 3", "or equal to 100 (given: 3)", id="plan"),
        pytest.param("candidate_share: 10", "should be less than 1 (given: 10)", id="share-in-percent"),
        pytest.param("metric: {}", "metric: there is no such key; check the spelling", id="misspelt"),
        pytest.param("metrics: {error_rate: 5}", "metrics.error_rate: it must be a table", id="no-table"),
        pytest.param("metrics: {error_rate: {margin: .nan}}", "metrics.error_rate.margin", id="nan"),
    ],
)
def test_what_makes_no_policy_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)

    assert problem in str(caught.value)
    assert str(caught.value).startswith("policy.yaml: ")


@pytest.mark.parametrize(
    "text", ["", "[]", "version: 2", "{", "version: 1\nmetrics: 5"], ids=["empty", "list", "version", "torn", "number"]
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=r"policy\.yaml"):
        read_policy(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't read the policy"):
        read_policy(tmp_path / "none.yaml")


def test_margins_decide() -> None:
    pair = cell(arm(), arm(rates={FAIL_RATE: 0.05}))

    strict = answer(pair)
    lenient = answer(pair, asked=question(policy=parsed("metrics: {eval_fail_rate: {margin: 0.1}}")))

    assert strict.overall.verdict is Verdict.ROLL_BACK
    assert lenient.overall.verdict is Verdict.SHIP
    assert row_of(lenient.overall.metrics, *FAIL_RATE).state is CellState.SAFE


def test_an_informative_metric_decides_nothing() -> None:
    policy = parsed("metrics: {eval_fail_rate: {role: informative}}")

    assert (
        answer(cell(arm(), arm(rates={FAIL_RATE: 0.5})), asked=question(policy=policy)).overall.verdict is Verdict.SHIP
    )


@pytest.mark.parametrize("evaluator", [EVALUATOR, f"{EVALUATOR}@2"])
def test_an_evaluator_has_its_own_rules_in_any_version(evaluator: str) -> None:
    policy = parsed(f"evaluators: {{{EVALUATOR}: {{margin: 0.002, critical: false}}}}")

    metric = policy.metric("eval_fail_rate", evaluator)

    assert (metric.margin, metric.is_critical, metric.is_guardrail) == (0.002, False, True)
    assert policy.metric("eval_fail_rate", "other").margin == 0.01


def test_harm_in_an_evaluator_that_is_not_critical_narrows() -> None:
    pairs = cell(arm(2000), arm(2000, rates={FAIL_RATE: 0.2}), cohort="bank"), cell(arm(6000), arm(6000))
    policy = parsed(f"evaluators: {{{EVALUATOR}: {{critical: false}}}}")

    assert answer(*pairs).overall.verdict is Verdict.ROLL_BACK
    assert answer(*pairs, asked=question(policy=policy)).overall.verdict is Verdict.NARROW
