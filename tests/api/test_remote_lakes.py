"""The service and the command line on a lake that is on an object store."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.api.conftest import START_NS
from tests.collector.remote import kill_application, spooled_files, stored_names, traced
from tests.object_store import ObjectStore
from typer.testing import CliRunner

from tracecanary.analytics.listings import list_models
from tracecanary.analytics.store import Store
from tracecanary.api.cli.main import app
from tracecanary.api.service import running_service
from tracecanary.collector.destinations import publish_left_rows
from tracecanary.schema import ConfigurationError, LakeError, LakeTable, lake_storage, landing_files, parse_file_lake

ARMS = ("base", "candidate")
CAPTURE = Path(__file__).parents[1] / "collector" / "testdata" / "captures" / "strands.otlp.pb"


def write_traces(lake: str, *, traces_an_arm: int) -> None:
    processor, tracer = traced(lake)
    for arm in ARMS:
        for number in range(traces_an_arm):
            attributes = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": arm,
            }
            tracer.start_span("chat", start_time=START_NS + number, attributes=attributes).end(START_NS + 10**9)
    assert processor.shutdown()


@pytest.fixture
def lake(object_store: ObjectStore) -> str:
    """A lake with four traces an arm."""
    lake = object_store.new_lake()
    write_traces(lake, traces_an_arm=4)
    return lake


def test_service_compares_and_takes_evaluations(lake: str) -> None:
    with running_service(parse_file_lake(lake)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.get("/compare", params={"base": "base", "candidate": "candidate"}).raise_for_status().json()
        assert answer["overall"]["traces"] == {"base": 4, "candidate": 4}

        evaluation = {"trace_id": f"{1:032x}", "name": "task_reward", "score": 1.0}
        receipt = client.post("/v1/evaluations", json={"evaluations": [evaluation]}).raise_for_status().json()
        assert receipt == {"accepted": 1, "rejected": []}
        assert client.get("/readyz").json() == {"status": "ready"}

    with Store(parse_file_lake(lake)).session() as session:
        (row,) = session.rows("evaluations_v1")
    assert (row["trace_id"], row["name"], row["score"]) == (f"{1:032x}", "task_reward", 1.0)


def test_a_changed_policy_is_kept_to_in_the_next_answer(object_store: ObjectStore) -> None:
    lake = object_store.new_lake()
    write_traces(lake, traces_an_arm=1000)  # enough for caps, without which no answer is kept
    location = parse_file_lake(lake)
    planned = []
    with running_service(location) as url, httpx.Client(base_url=url, trust_env=False) as client:
        for traces in (500, 600):
            lake_storage(location).publish("policy.yaml", f"version: 1\nplanned_traces: {traces}\n".encode())
            answer = client.get("/compare", params={"base": "base", "candidate": "candidate"}).raise_for_status().json()
            planned.append(answer["question"]["planned_traces"])

    assert planned == [500, 600]


def test_service_sees_what_comes_later(lake: str) -> None:
    store = Store(parse_file_lake(lake))
    assert sum(model.llm_calls for model in list_models(store)) == 8
    processor, tracer = traced(lake)
    tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "late"}).end()
    assert processor.shutdown()

    assert sum(model.llm_calls for model in list_models(store)) == 9


def test_files_are_fetched_once_and_the_cache_stays_bounded(
    lake: str, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Path(os.environ["TRACECANARY_CACHE"])
    assert len(list_models(Store(parse_file_lake(lake)))) == 2
    assert len(list(cache.glob("*/files/landing/spans/*.parquet"))) == 1

    monkeypatch.setenv("TRACECANARY_MAX_CACHE_BYTES", "0")
    another = object_store.new_lake()
    processor, tracer = traced(another)
    tracer.start_span("chat", attributes={"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}).end()
    assert processor.shutdown()
    store = Store(parse_file_lake(another))
    assert len(list_models(store)) == 1
    assert len(list(cache.glob("*/files/landing/spans/*.parquet"))) == 1  # the other lake's
    with store.spans_session() as session:  # though dropped, what a snapshot reads stays
        assert len(session.rows("spans_v1")) == 1


def test_commands_read_and_write_the_lake(lake: str) -> None:
    runner = CliRunner()

    compared = runner.invoke(app, ["compare", "--lake", lake, "--base", "base", "--candidate", "candidate"])
    ingested = runner.invoke(app, ["ingest", "--lake", lake, str(CAPTURE)])

    assert compared.exit_code == 0, compared.output
    assert "candidate" in compared.output
    assert ingested.exit_code == 0, ingested.output
    assert len(stored_names(lake)) > 8


def test_service_publishes_what_a_killed_application_left(object_store: ObjectStore) -> None:
    lake, spool = object_store.new_lake(), Path(os.environ["TRACECANARY_SPOOL"])
    object_store.stop()
    try:
        kill_application(lake, "a", "b")
        assert spooled_files(spool) != []
        with pytest.raises(LakeError, match="Check endpoint_override and the network"):
            publish_left_rows(parse_file_lake(lake))
    finally:
        object_store.start()

    assert publish_left_rows(parse_file_lake(lake)) == 2
    assert publish_left_rows(parse_file_lake(lake)) == 0
    assert stored_names(lake) == ["a", "b"]
    assert spooled_files(spool) == []


def test_missing_bucket_stops_the_service_at_its_start(object_store: ObjectStore) -> None:
    with (
        pytest.raises(LakeError, match=r"s3://absent-bucket/team/lake.*Make the bucket"),
        running_service(parse_file_lake(object_store.lake("absent-bucket"))),
    ):
        pass


def test_server_is_no_lake_for_a_command() -> None:
    result = CliRunner().invoke(app, ["compare", "--lake", "otlp://host", "--base", "a", "--candidate", "b"])

    assert isinstance(result.exception, ConfigurationError)
    assert "can't be read. Name the folder or bucket it writes to" in str(result.exception)


def test_outage_keeps_what_is_acknowledged_and_passes(lake: str, object_store: ObjectStore) -> None:
    location = parse_file_lake(lake)
    evaluation = {"trace_id": f"{1:032x}", "name": "task_reward", "score": 1.0}
    with running_service(location) as url, httpx.Client(base_url=url, trust_env=False) as client:
        object_store.stop()
        try:
            spooled = client.post("/v1/evaluations", json={"evaluations": [evaluation]}, timeout=60)
            readiness = client.get("/readyz", timeout=60)
        finally:
            object_store.start()

        assert spooled.json() == {"accepted": 1, "rejected": []}, "it is safe in the spool folder"
        assert readiness.status_code == 503
        assert "Check endpoint_override and the network" in readiness.json()["detail"]
        assert client.get("/readyz", timeout=60).status_code == 200
        assert client.post("/v1/evaluations", json={"evaluations": [{**evaluation, "score": 0.5}]}).status_code == 200

    files = landing_files(lake_storage(location), LakeTable.EVALUATIONS)
    stored = [pq.read_table(pa.BufferReader(lake_storage(location).read(file.name))) for file in files]
    assert sorted(float(str(score)) for table in stored for score in table["score"].to_pylist()) == [0.5, 1.0]
