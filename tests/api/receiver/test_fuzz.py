"""Whatever arrives, the receiver answers by the specification, and goes on."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracecanary.api.service import running_receiver

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
EXAMPLES = int(os.environ.get("TRACECANARY_TEST_FUZZ", "60"))
ANSWERS = {200, 400, 413, 415, 422}
PATHS = st.sampled_from(["/v1/traces", "/v1/logs", "/v1/evaluations"])
TYPES = st.sampled_from(["application/x-protobuf", "application/json", "application/x-ndjson", "text/plain", ""])
ENCODINGS = st.sampled_from(["identity", "gzip", "deflate", "zstd", "br"])

JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
# Close to OTLP, with any value in any place.
SPANS = st.dictionaries(
    st.sampled_from(
        ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano", "attributes", "events", "status"]
    ),
    JSON_VALUES
    | st.just("0af7651916cd43dd8448eb211c80319c")
    | st.just("00f067aa0ba902b7")
    | st.just([{"key": "gen_ai.request.model", "value": {"intValue": "9" * 25}}]),
)
TRACES = st.builds(
    lambda spans: {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}, st.lists(SPANS | JSON_VALUES, max_size=3)
)
EVALUATIONS = st.lists(
    st.dictionaries(
        st.sampled_from(["trace_id", "span_id", "name", "version", "score", "label", "passed", "source", "time"]),
        JSON_VALUES | st.just("0af7651916cd43dd8448eb211c80319c"),
    ),
    max_size=3,
)
BODIES = (
    st.binary(max_size=100)
    | st.builds(lambda document: json.dumps(document).encode(), JSON_VALUES | TRACES | EVALUATIONS)
    | st.binary(max_size=60).map(gzip.compress)
    | st.just(b"[" * 50_000)
    | st.just(b'{"resourceSpans":' * 5_000)
)


@pytest.fixture(scope="module")
def service_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_receiver(tmp_path_factory.mktemp("fuzzed") / "lake") as service:
        yield service.url


@given(path=PATHS, media_type=TYPES, encoding=ENCODINGS, body=BODIES)
@settings(max_examples=EXAMPLES, deadline=None)
def test_any_body_gets_an_answer_of_the_specification(
    service_url: str, path: str, media_type: str, encoding: str, body: bytes
) -> None:
    headers = {"content-type": media_type, "content-encoding": encoding}

    response = httpx.post(f"{service_url}{path}", content=body, headers=headers)

    assert response.status_code in ANSWERS, response.text
    figures = httpx.get(f"{service_url}/metrics").text
    assert "\ntracecanary_waiting_bytes 0.0\n" in figures, "what was reserved is given back"


@pytest.mark.skipif(not SCHEMATHESIS.exists(), reason="schemathesis is not installed")
def test_requests_made_from_the_openapi_document_never_fail_the_service(service_url: str) -> None:
    command = [str(SCHEMATHESIS), "run", f"{service_url}/openapi.json", "--checks", "not_a_server_error"]
    options = ["--max-examples", "4", "--phases", "examples,fuzzing", "--seed", "1", "--exclude-path", "/docs"]

    result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=240, check=False)

    assert result.returncode == 0, result.stdout[-4_000:]


def test_memory_does_not_grow_with_what_senders_make_up(tmp_path: Path) -> None:
    # In a process of its own: this one holds the requests.
    command = [sys.executable, str(Path(__file__).with_name("memory_growth.py")), str(tmp_path / "lake")]

    grown_mb = float(subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout)

    assert grown_mb < 100, "400 MB were sent, and none of it is held"
