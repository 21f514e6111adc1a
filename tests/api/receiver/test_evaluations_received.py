"""Evaluations from four ways in one table: spans' events, log records, posted batches, the Python client."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pyarrow.parquet as pq
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tracecanary.api.config import ServiceSettings
from tracecanary.api.receiver.config import ReceiverSettings
from tracecanary.api.receiver.tokens import Tokens
from tracecanary.api.service import ServiceAddresses, running_receiver
from tracecanary.collector import EvaluationClient
from tracecanary.collector.rules import EvaluatorRule, Rules
from tracecanary.schema import LakeTable, SendError, landing_segments

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}
QUESTION = {"base": "m", "candidate": "n", "metric": "eval_fail_rate"}
WRITERS_TOKEN = "token-of-the-writer"  # noqa: S105  of this test
Row = dict[str, Any]


def stored(lake: Path) -> list[Row]:
    paths = landing_segments(lake, LakeTable.EVALUATIONS)
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    return sorted(rows, key=lambda row: str(row["name"]))


def logged(attributes: dict[str, Any], **record: Any) -> dict[str, Any]:
    def value(content: Any) -> dict[str, Any]:
        return {"doubleValue": content} if isinstance(content, float) else {"stringValue": content}

    pairs = [{"key": key, "value": value(content)} for key, content in attributes.items()]
    return {"eventName": "gen_ai.evaluation.result", "attributes": pairs, **record}


def test_log_records_become_evaluations_and_other_records_are_no_error(lake: Path) -> None:
    records = [
        logged(
            {
                "gen_ai.evaluation.name": "a",
                "gen_ai.evaluation.score.value": 0.5,
                "gen_ai.evaluation.score.label": "pass",
            },
            traceId=TRACE_ID,
            spanId=SPAN_ID,
            timeUnixNano="1760000000000000000",
        ),
        logged({"gen_ai.evaluation.name": "b", "gen_ai.evaluation.score.label": "fail", "gen_ai.response.id": "r-1"}),
        logged({"gen_ai.evaluation.name": "c"}, traceId=TRACE_ID),
        {"body": {"stringValue": "a line of a log"}},
    ]
    body = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}

    with running_receiver(lake) as service:
        response = httpx.post(f"{service.url}/v1/logs", json=body)

    assert response.status_code == 200
    assert response.json()["partialSuccess"]["rejectedLogRecords"] == "1"
    first, second = stored(lake)
    assert (first["trace_id"], first["span_id"], first["time_unix_ns"]) == (TRACE_ID, SPAN_ID, 1760000000000000000)
    assert (first["score"], first["label"], first["passed"]) == (0.5, "pass", True)
    assert (second["trace_id"], second["response_id"], second["passed"]) == (None, "r-1", False)


def test_an_evaluation_by_response_id_finds_its_trace_whichever_comes_first(tmp_path: Path) -> None:
    with running_receiver(tmp_path / "lake") as service:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{service.url}/v1/traces")))
        tracer = provider.get_tracer("tests")

        def call(model: str, response_id: str) -> None:
            attributes = {**CALL, "gen_ai.request.model": model, "gen_ai.response.id": response_id}
            tracer.start_span("chat", attributes=attributes).end()

        judged = [{"response_id": name, "name": "quality", "passed": name == "r-2"} for name in ("r-1", "r-2", "r-9")]
        call("n", "r-0")
        call("m", "r-1")
        receipt = httpx.post(f"{service.url}/v1/evaluations", json=judged).json()
        before = httpx.get(f"{service.url}/compare", params=QUESTION).json()["overall"]["metrics"][0]
        call("m", "r-2")
        after = httpx.get(f"{service.url}/compare", params=QUESTION).json()["overall"]["metrics"][0]
        provider.shutdown()

    assert receipt == {"accepted": 3, "rejected": []}
    assert (before["base"]["value"], before["base"]["n"]) == (1.0, 1)
    assert (after["base"]["value"], after["base"]["n"]) == (0.5, 2)


def test_the_evaluation_events_of_spans_that_are_received_count(lake: Path) -> None:
    with running_receiver(lake) as service:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{service.url}/v1/traces")))
        with provider.get_tracer("tests").start_as_current_span("chat", attributes=CALL) as span:
            span.add_event(
                "gen_ai.evaluation.result",
                {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "fail"},
            )
        provider.shutdown()

    (row,) = stored(lake)
    assert (row["trace_id"], row["name"], row["passed"]) == (f"{span.get_span_context().trace_id:032x}", "tone", False)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        pytest.param("application/json", json.dumps([{"trace_id": TRACE_ID, "name": "a"}, {"name": "b"}]), id="array"),
        pytest.param(
            "application/x-ndjson", f'{{"trace_id": "{TRACE_ID}", "name": "a"}}\n\n{{"name": "b"}}\n', id="lines"
        ),
        pytest.param("application/x-ndjson", f'{{"trace_id": "{TRACE_ID}", "name": "a"}}\nno json', id="a-bad-line"),
    ],
)
def test_a_batch_may_be_an_array_or_lines(media_type: str, body: str, lake: Path) -> None:
    with running_receiver(lake) as service:
        response = httpx.post(f"{service.url}/v1/evaluations", content=body, headers={"content-type": media_type})

    receipt = response.json()
    assert (response.status_code, receipt["accepted"]) == (200, 1)
    assert [item["index"] for item in receipt["rejected"]] == [1]
    assert [row["name"] for row in stored(lake)] == ["a"]


def test_of_the_same_key_in_one_request_the_last_one_wins(tmp_path: Path) -> None:
    scores = [0.9, 0.1, 0.3]
    records = [
        logged({"gen_ai.evaluation.name": "logged", "gen_ai.evaluation.score.value": score}, traceId=TRACE_ID)
        for score in scores
    ]

    with running_receiver(tmp_path / "lake") as service:
        posted = [{"trace_id": TRACE_ID, "name": "posted", "score": score} for score in scores]
        httpx.post(f"{service.url}/v1/evaluations", json=posted).raise_for_status()
        body = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
        httpx.post(f"{service.url}/v1/logs", json=body).raise_for_status()
        trace = httpx.get(f"{service.url}/traces/{TRACE_ID}").json()

    assert sorted((row["name"], row["score"]) for row in trace["evaluations"]) == [("logged", 0.3), ("posted", 0.3)]


def test_a_configured_threshold_decides_for_every_way_in(lake: Path) -> None:
    rules = Rules(evaluators={"quality": EvaluatorRule(pass_at_least=0.7)})
    records = [
        logged({"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": 0.8}, traceId=TRACE_ID),
    ]

    with running_receiver(lake, settings=ServiceSettings(rules=rules)) as service:
        body = {"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}
        httpx.post(f"{service.url}/v1/logs", json=body).raise_for_status()
        posted = [{"trace_id": TRACE_ID, "name": name, "score": 0.6} for name in ("quality", "tone")]
        httpx.post(f"{service.url}/v1/evaluations", json=posted).raise_for_status()

    verdicts = [(row["name"], row["score"], row["passed"]) for row in stored(lake)]
    assert sorted(verdicts, key=str) == [("quality", 0.6, False), ("quality", 0.8, True), ("tone", 0.6, None)]


def test_the_client_sends_batches_and_names_what_was_rejected(lake: Path) -> None:
    settings = ReceiverSettings(tokens=Tokens([WRITERS_TOKEN]))
    judged = [{"trace_id": TRACE_ID, "name": f"{number:03}", "score": number / 10} for number in range(25)]
    judged[13] = {"trace_id": "no id", "name": "x"}

    with running_receiver(lake, settings) as service:
        sent = EvaluationClient(service.url, token=WRITERS_TOKEN, batch_size=10).send(iter(judged))
        with pytest.raises(SendError, match="401"):
            EvaluationClient(service.url, token=WRITERS_TOKEN[1:]).send(judged)

    assert sent.accepted == 24
    assert list(sent.rejected) == [13]
    assert [row["score"] for row in stored(lake)] == [number / 10 for number in range(25) if number != 13]


class _Busy(BaseHTTPRequestHandler):
    """Asks to come back, twice, and then takes what is sent."""

    answers: ClassVar[list[tuple[int, str]]] = []
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        status, retry_after = self.answers.pop(0)
        body = json.dumps({"accepted": 1, "rejected": []}).encode()
        self.send_response(status)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def busy_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("new_answers", [pytest.param(lambda: [(429, "0"), (503, "0"), (200, "")], id="then-taken")])
def test_the_client_comes_back_when_it_is_asked_to(
    new_answers: Callable[[], list[tuple[int, str]]], busy_url: str
) -> None:
    _Busy.answers[:], _Busy.bodies[:] = new_answers(), []

    sent = EvaluationClient(busy_url).send([{"trace_id": TRACE_ID, "name": "a"}])

    assert sent.accepted == 1
    assert len(_Busy.bodies) == 3
    assert len(set(_Busy.bodies)) == 1


def test_the_client_gives_up_after_its_tries(busy_url: str) -> None:
    _Busy.answers[:] = [(503, "0")] * 3

    with pytest.raises(SendError, match="given up after 2 tries"):
        EvaluationClient(busy_url, max_tries=2).send([{"trace_id": TRACE_ID, "name": "a"}])


def test_a_trace_id_of_zeros_is_refused_and_takes_no_other_with_it(receiver: ServiceAddresses) -> None:
    given = [{"trace_id": trace_id, "name": "a", "passed": True} for trace_id in ("0" * 32, TRACE_ID)]

    receipt = httpx.post(f"{receiver.url}/v1/evaluations", json=given).json()

    [refused] = receipt["rejected"]
    assert (receipt["accepted"], refused["index"]) == (1, 0)
    assert "the trace_id is all zeros, which no trace has" in refused["reason"]


def test_fields_that_dont_belong_together_are_named(receiver: ServiceAddresses) -> None:
    receipt = httpx.post(
        f"{receiver.url}/v1/evaluations", json=[{"name": "a"}, {"name": "a", "response_id": "r", "span_id": SPAN_ID}]
    ).json()

    assert [item["reason"] for item in receipt["rejected"]] == [
        "evaluation: give the trace_id, or the response_id of the answer that was judged",
        "evaluation: a span_id needs its trace_id",
    ]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param({"trace_id": "xyz", "name": "a"}, "(given: 'xyz')", id="value"),
        pytest.param({"trace_id": TRACE_ID}, "name: it is missing; add it", id="missing"),
        pytest.param(
            {"trace_id": TRACE_ID, "name": "a", "pased": True},
            "pased: there is no such key; use one of trace_id,",
            id="misspelt",
        ),
        pytest.param(5, "evaluation: it must be a table of names and values (given: 5)", id="number"),
        pytest.param(
            {"trace_id": TRACE_ID, "name": "a", "time": "1950-01-01T00:00:00Z"},
            "time: use a time from 1970 to 2261 (given: '1950-01-01T00:00:00Z')",
            id="own-words",
        ),
        pytest.param({"trace_id": TRACE_ID, "name": "a" * 999}, f"(given: '{'a' * 79}...)", id="long"),
    ],
)
def test_what_is_wrong_is_told_with_its_value(receiver: ServiceAddresses, given: object, reason: str) -> None:
    receipt = httpx.post(f"{receiver.url}/v1/evaluations", json=[given]).json()

    [refused] = receipt["rejected"]
    assert reason in refused["reason"]
