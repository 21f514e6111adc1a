"""A lake URL that sends to a server: what the server has not taken waits in the spool, and arrives."""

from __future__ import annotations

import importlib.util
import os
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from tests.collector.otlp_sink import GrpcRefusal, HttpRefusal, Received, grpc_sink, http_sink
from tests.collector.remote import CALL, end_spans, kill_application, spooled_files, stored, traced, wait_until

from tracecanary.collector import CanarySpanProcessor
from tracecanary.collector.normalise import default_normaliser
from tracecanary.collector.otlp import spans_from_protobuf
from tracecanary.collector.otlp_sender import BusyServerError
from tracecanary.collector.otlp_transport import Outcome, taken
from tracecanary.collector.remote_journal import Delays
from tracecanary.collector.span_tables import span_table
from tracecanary.schema import ConfigurationError, LakeError

Sink = Callable[..., AbstractContextManager[str]]


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRACECANARY_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


@pytest.fixture
def received() -> Received:
    return Received()


@pytest.fixture(params=["http", "grpc"])
def sink(request: pytest.FixtureRequest) -> Sink:
    return http_sink if request.param == "http" else grpc_sink


def refusal(sink: Sink, *, http: int, grpc_code: Any) -> Any:
    return HttpRefusal(http) if sink is http_sink else GrpcRefusal(grpc_code)


def free_port() -> int:
    with http_sink(Received()) as url:
        return int(url.rpartition(":")[2])


def test_server_gets_what_a_folder_would_have_got(sink: Sink, received: Received, spool: Path, tmp_path: Path) -> None:
    with sink(received) as url:
        for lake in (url, str(tmp_path / "lake")):
            processor, tracer = traced(lake)
            tracer.start_span("chat", start_time=1, attributes={"gen_ai.request.model": "m", "a": "b"}).end(5)
            assert processor.force_flush()
            assert processor.shutdown()
    (request,) = received.requests
    (row,) = span_table(spans_from_protobuf(request.SerializeToString()), default_normaliser()).to_pylist()

    (row_of_folder,) = stored(str(tmp_path / "lake"))
    ids = {"trace_id", "span_id"}
    assert {name: row[name] for name in row if name not in ids} == {
        name: row_of_folder[name] for name in row_of_folder if name not in ids
    }
    assert (row["service_name"], row["release"], row["scope_name"]) == ("shop", "1.4.2", "tests")
    assert spooled_files(spool) == []


def test_requests_carry_token_and_headers(sink: Sink, received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACECANARY_TOKEN", "secret")
    monkeypatch.setenv("TRACECANARY_HEADERS", "x-team=a%20b,x-other=c")
    with sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a")
        assert processor.shutdown()

    (metadata,) = received.metadata
    assert metadata["authorization"] == "Bearer secret"
    assert (metadata["x-team"], metadata["x-other"]) == ("a b", "c")


def test_http_requests_are_compressed_protobuf(received: Received) -> None:
    with http_sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a")
        assert processor.shutdown()

    (metadata,) = received.metadata
    assert (metadata["content-type"], metadata["content-encoding"]) == ("application/x-protobuf", "gzip")


def test_nothing_is_lost_while_the_server_is_away(
    sink: Sink, received: Received, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    scheme = "http" if sink is http_sink else "otlp"
    processor, tracer = traced(f"{scheme}://127.0.0.1:{port}", flush_interval_s=0.05, seal_interval_s=0.1)
    end_spans(tracer, "during")
    assert not processor.force_flush()
    assert "Check that the server runs, and the network" in caplog.text
    assert len(spooled_files(spool)) == 1

    with sink(received, port):
        end_spans(tracer, "after")
        wait_until(processor.force_flush)
        assert received.names == ["after", "during"]
        assert processor.shutdown()

    assert spooled_files(spool) == []
    assert processor.dropped == {}


def test_what_a_killed_application_left_is_sent_by_the_next(received: Received, spool: Path) -> None:
    port = free_port()
    lake = f"http://127.0.0.1:{port}"
    kill_application(lake, "a", "b")
    assert spooled_files(spool) != []

    with http_sink(received, port):
        processor, tracer = traced(lake)
        end_spans(tracer, "c")
        assert processor.shutdown()
        wait_until(lambda: received.names == ["a", "b", "c"])

    assert spooled_files(spool) == []


@pytest.mark.parametrize(
    ("http", "grpc_code", "remedy"),
    [
        pytest.param(503, grpc.StatusCode.UNAVAILABLE, "", id="overloaded"),
        pytest.param(429, grpc.StatusCode.RESOURCE_EXHAUSTED, "", id="throttled"),
        pytest.param(500, grpc.StatusCode.INTERNAL, "", id="broken"),
        pytest.param(401, grpc.StatusCode.UNAUTHENTICATED, "Set TRACECANARY_TOKEN", id="no-token"),
        pytest.param(404, grpc.StatusCode.UNIMPLEMENTED, "Check the", id="another-server"),
    ],
)
def test_failures_that_may_pass_are_tried_again(
    sink: Sink, received: Received, http: int, grpc_code: Any, remedy: str, caplog: pytest.LogCaptureFixture
) -> None:
    received.refusals.extend([refusal(sink, http=http, grpc_code=grpc_code)] * 10)
    with sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a")
        assert not processor.force_flush()
        assert remedy in caplog.text

        received.refusals.clear()
        assert processor.force_flush()
        assert processor.shutdown()

    assert received.names == ["a"]
    assert processor.dropped == {}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_counts_as_a_failure(
    status: int, received: Received, caplog: pytest.LogCaptureFixture
) -> None:
    elsewhere = Received()
    with http_sink(received) as url, http_sink(elsewhere) as other:
        received.refusals.extend([HttpRefusal(status, {"Location": f"{other}/login"})] * 10)
        processor, tracer = traced(url)
        end_spans(tracer, "a")
        assert not processor.force_flush()
        assert f"Give the URL that it points to: '{other}/login'" in caplog.text

        received.refusals.clear()
        assert processor.shutdown()

    assert received.names == ["a"]
    assert elsewhere.metadata == [], "rows, or the token, went to another host"


def test_a_web_page_is_no_answer(received: Received, caplog: pytest.LogCaptureFixture) -> None:
    received.refusals.extend([HttpRefusal(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in")] * 10)
    with http_sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a")
        assert not processor.force_flush()
        assert "a web page answered, and no server that takes OTLP" in caplog.text

        received.refusals.clear()
        assert processor.shutdown()

    assert received.names == ["a"]


def test_what_the_server_will_never_take_is_counted(
    sink: Sink, received: Received, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    received.refusals.append(refusal(sink, http=400, grpc_code=grpc.StatusCode.INVALID_ARGUMENT))
    with sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a", "b")
        assert processor.force_flush()
        assert processor.dropped == {"rejected": 2}
        assert "will never take 2 spans" in caplog.text
        end_spans(tracer, "c")
        assert processor.shutdown()

    assert received.names == ["c"]
    assert spooled_files(spool) == []


def test_spans_that_the_server_left_out_are_counted(
    sink: Sink, received: Received, caplog: pytest.LogCaptureFixture
) -> None:
    partial = ExportTracePartialSuccess(rejected_spans=1, error_message="one has no id")
    received.response = ExportTraceServiceResponse(partial_success=partial)
    with sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a", "b")
        assert processor.shutdown()

    assert processor.dropped == {"rejected": 1}
    assert "one has no id" in caplog.text


def test_evaluations_are_sent_as_log_records(sink: Sink, received: Received, spool: Path) -> None:
    with sink(received) as url:
        processor, tracer = traced(url)
        with tracer.start_as_current_span("chat", attributes=CALL) as span:
            span.add_event(
                "gen_ai.evaluation.result", {"gen_ai.evaluation.name": "quality", "gen_ai.evaluation.score.value": 0.5}
            )
        assert processor.force_flush()
        assert processor.shutdown()

    ((name, attributes),) = received.events
    assert name == "gen_ai.evaluation.result"
    assert attributes == {
        "gen_ai.evaluation.name": "quality",
        "gen_ai.evaluation.version": "1",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.source": "code",
    }
    assert received.names == ["chat"]
    assert spooled_files(spool) == []


def test_request_that_is_too_large_is_halved_until_it_fits(received: Received) -> None:
    received.refusals.extend([HttpRefusal(413)] * 3)
    with http_sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a", "b", "c", "d")
        assert processor.shutdown()

    # All four, the first two, and the first alone are too large.
    assert received.names == ["b", "c", "d"]
    assert processor.dropped == {"rejected": 1}


def test_a_server_that_fails_in_between_gets_the_rest_only(received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecanary.collector.otlp_sender.MAX_REQUEST_ROWS", 2)
    received.refusals.extend([None, HttpRefusal(503)])
    with http_sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a", "b", "c", "d", "e")
        wait_until(processor.force_flush)
        assert processor.shutdown()

    assert received.names == ["a", "b", "c", "d", "e"]
    assert len(received.requests) == 3


def test_server_that_asks_for_time_gets_it() -> None:
    assert 0.5 <= Delays().next_s(LakeError("away")) <= 0.75
    assert Delays().next_s(BusyServerError("busy", 120.0)) == 120.0
    assert Delays().next_s(BusyServerError("busy", 10.0**9)) == 3_600.0
    delays = Delays()
    assert [delays.next_s(LakeError("away")) for _ in range(10)][-1] <= 45.0


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param((http_sink, HttpRefusal(429, {"Retry-After": "1"})), id="http-seconds"),
        pytest.param((http_sink, HttpRefusal(503, {"Retry-After": formatdate(usegmt=True)})), id="http-date-past"),
        pytest.param((http_sink, HttpRefusal(503, {"Retry-After": "soon"})), id="http-nonsense"),
        pytest.param((http_sink, HttpRefusal(503, {}, b"<html>busy</html>")), id="http-page"),
        pytest.param((grpc_sink, GrpcRefusal(grpc.StatusCode.UNAVAILABLE, "busy")), id="grpc"),
        pytest.param(
            (
                grpc_sink,
                GrpcRefusal(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "busy",
                    (("grpc-status-details-bin", b"\xff"),),
                ),
            ),
            id="grpc-nonsense",
        ),
    ],
)
def test_busy_server_is_tried_again_by_itself(refused: tuple[Sink, Any], received: Received) -> None:
    sink, refusal = refused
    received.refusals.append(refusal)
    with sink(received) as url:
        processor, tracer = traced(url, flush_interval_s=0.05, seal_interval_s=0.1)
        end_spans(tracer, "a")
        wait_until(lambda: received.names == ["a"])
        assert processor.shutdown()

    assert received.tries == 2


def test_retry_info_of_grpc_is_read(received: Received, caplog: pytest.LogCaptureFixture) -> None:
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)))
    status = Status(code=8, message="busy", details=[detail]).SerializeToString()
    received.refusals.append(
        GrpcRefusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", (("grpc-status-details-bin", status),))
    )
    from tracecanary.collector.otlp_transport import GrpcTransport
    from tracecanary.schema import LakeTable, OtlpServer

    with grpc_sink(received) as url:
        server = OtlpServer(is_grpc=True, is_secure=False, host="127.0.0.1", port=int(url.rpartition(":")[2]))
        reply = GrpcTransport(server, {}).send(LakeTable.SPANS, b"", timeout_s=10)

    assert reply.outcome is Outcome.FAILED
    assert reply.retry_after_s == 1.5
    assert reply.message == "RESOURCE_EXHAUSTED: busy"


def test_dead_server_delays_neither_the_application_nor_the_journal(received: Received, spool: Path) -> None:
    received.is_open.clear()
    with http_sink(received) as url:
        processor, tracer = traced(url, flush_interval_s=0.05, seal_interval_s=0.1)
        end_spans(tracer, "a")
        wait_until(lambda: received.tries == 1)

        end_spans(tracer, "b")
        assert not processor.force_flush(500)
        wait_until(lambda: len(spooled_files(spool)) == 2)

        received.is_open.set()
        assert processor.shutdown()
    assert received.names == ["a", "b"]


def test_what_is_sent_is_not_traced_itself(received: Received, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value

    suppressed: list[object] = []
    send = urllib.request.OpenerDirector.open  # what opentelemetry-instrumentation-urllib wraps

    def instrumented(*args: Any, **kwargs: Any) -> Any:
        suppressed.append(get_value(_SUPPRESS_INSTRUMENTATION_KEY))
        return send(*args, **kwargs)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", instrumented)
    with http_sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "a")
        assert processor.shutdown()

    assert suppressed == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_sends_its_own_spans_by_http(received: Received) -> None:
    with http_sink(received) as url:
        processor, tracer = traced(url)
        end_spans(tracer, "parent")
        assert processor.force_flush()

        child = os.fork()
        if child == 0:
            end_spans(tracer, "child")
            os._exit(0 if processor.force_flush() else 1)
        _, status = os.waitpid(child, 0)
        assert processor.shutdown()

    assert os.waitstatus_to_exitcode(status) == 0
    assert received.names == ["child", "parent"]


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "grpc" else find_spec(name))

    with pytest.raises(ConfigurationError, match=r"pip install 'tracecanary\[otlp\]', or send by HTTP"):
        CanarySpanProcessor("otlp://localhost:4317")


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("TRACECANARY_HEADERS", "secret", "TRACECANARY_HEADERS is no list of name=value"),
        ("TRACECANARY_TOKEN", "sec\nret", "the header 'Authorization' has a name or a value that can't be sent"),
        ("TRACECANARY_SEND_TIMEOUT_S", "0", "send_timeout_s is 0.0, but must be greater than 0"),
    ],
)
def test_settings_that_cannot_work_are_named_without_secrets(
    variable: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigurationError, match=problem) as refused:
        CanarySpanProcessor("http://localhost:1")

    assert value == "0" or value not in str(refused.value)


def test_answer_that_is_no_message_counts_as_taken() -> None:
    assert taken(b"\xff\xff").outcome is Outcome.TAKEN
