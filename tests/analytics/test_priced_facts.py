"""Prices on their way into an answer: named where they are missing, and derived anew where they change."""

from pathlib import Path
from typing import Any

import pytest
from tests.analytics.lake import write_spans

from tracecanary.analytics.answer import Check, MetricRow
from tracecanary.analytics.comparison import compare
from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.listings import list_models
from tracecanary.analytics.prices import PriceBook, read_price_file
from tracecanary.analytics.question import Question, Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import list_traces

QUESTION = Question(selection=Selection(arms=("gpt-4.1", "my-ft")))
MINUTE_NS = 60 * 10**9
FIRST_NS = 1_780_272_000 * 10**9


def call(trace_id: str, model: str, **more: Any) -> dict[str, Any]:
    told = {"kind": "llm", "provider": "openai", "model": model, "input_tokens": 1_000, "output_tokens": 100}
    return {"trace_id": trace_id, "span_id": "a", "start_unix_ns": FIRST_NS, **told, **more}


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    # my-ft fails once, and gpt-4.1 (2 and 8 USD a million tokens) answers in its place; a judge looks at the answer.
    fallback = {"trace_id": "t2", "parent_span_id": "r"}
    write_spans(
        tmp_path / "lake",
        [
            call("t1", "gpt-4.1"),
            {**fallback, "span_id": "r", "parent_span_id": None, "kind": "chain", "start_unix_ns": FIRST_NS},
            call(**fallback, model="my-ft", status="error", output_tokens=0),
            call(**fallback, model="gpt-4.1", span_id="b", start_unix_ns=FIRST_NS + MINUTE_NS // 2),
            {**fallback, "span_id": "e", "kind": "evaluator", "start_unix_ns": FIRST_NS + MINUTE_NS},
            call("t2", "gpt-4.1", span_id="j", parent_span_id="e", input_tokens=500, output_tokens=0),
            call("t3", "my-ft"),
        ],
    )
    return tmp_path / "lake"


def priced(folder: Path, price: str) -> DerivationSettings:
    path = folder / "prices.toml"
    path.write_text(f'[[price]]\nmodel = "my-ft"\n{price}')
    return DerivationSettings(prices=PriceBook(read_price_file(path)))


def costs(store: Store) -> tuple[MetricRow, Check]:
    answer = compare(store, QUESTION).answer
    (row,) = [row for row in answer.overall.metrics if row.metric == "cost_per_trace"]
    return row, answer.checks.costs


def test_a_model_without_a_price_is_named_and_costs_nothing_known(lake: Path) -> None:
    store = Store(lake)

    row, check = costs(store)

    assert (row.base.value, row.base.n) == (0.0028, 1)
    assert (row.candidate.value, row.candidate.n) == (None, 0)
    assert row.reason == "the candidate has no price in any of its 2 traces: no price for my-ft in 2 traces"
    assert check.reason == "no price for my-ft in 2 of the candidate's 2 traces"
    assert {model.model: (model.cost_usd, model.priced) for model in list_models(store)} == {
        "gpt-4.1": (0.0056, True),
        "my-ft": (None, False),
    }


def test_a_price_file_prices_what_is_stored_and_fallbacks_count_for_the_model_asked_first(lake: Path) -> None:
    with Store(lake).session():
        pass

    store = Store(lake, priced(lake.parent, "input = 1\noutput = 4"))
    row, check = costs(store)

    # t2: 0.001 for the call that failed, 0.0028 for the fallback; t3: 0.0014. The judge's 0.001 is apart.
    assert row.candidate.value == pytest.approx(0.0026, rel=1e-12)
    assert row.candidate.n == 2
    assert check.reason is not None
    assert check.reason.startswith("costs are computed from published prices in the base, from the price file and of")
    assert {
        one.trace_id: (one.cost_usd, one.cost_source, one.judge_cost_usd) for one in list_traces(store, Selection())
    } == {
        "t1": (0.0028, "genai-prices", None),
        "t2": (0.0038, "mixed", 0.001),
        "t3": (0.0014, "file", None),
    }


def test_a_changed_price_derives_what_it_changes(lake: Path) -> None:
    before, _ = costs(Store(lake, priced(lake.parent, "input = 1\noutput = 4")))

    after, _ = costs(Store(lake, priced(lake.parent, "input = 3\noutput = 4")))

    assert before.candidate.value == pytest.approx(0.0026, rel=1e-12)
    assert after.candidate.value == pytest.approx((0.0038 + 0.002 + 0.0014 + 0.002) / 2, rel=1e-12)
