"""The command line, called as a person calls it."""

from __future__ import annotations

import importlib.metadata
import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tests.system.conftest import TRACECANARY, DemoService

ARMS = ("--base", "gpt-4.1", "--candidate", "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm")

OTLP_REQUEST = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                            "spanId": "00f067aa0ba902b7",
                            "name": "chat",
                            "startTimeUnixNano": "1760000000000000000",
                            "endTimeUnixNano": "1760000001000000000",
                            "attributes": [
                                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                                {"key": "gen_ai.request.model", "value": {"stringValue": "from-a-file"}},
                            ],
                        }
                    ]
                }
            ]
        }
    ]
}


def _run(*arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([TRACECANARY, *arguments], input=stdin, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize(
    "command",
    ["", "demo", "serve", "compare", "ingest", "compact", "doctor", "rebuild", "prices", "prices check", "prices show"],
)
def test_every_command_explains_itself(command: str) -> None:
    done = _run(*command.split(), "--help")

    assert done.returncode == 0
    assert b"Usage: tracecanary" in done.stdout


def test_the_version_is_that_of_the_package() -> None:
    done = _run("--version")

    assert (done.returncode, done.stdout.decode()) == (0, f"tracecanary {importlib.metadata.version('tracecanary')}\n")


def test_a_service_and_its_lake_give_one_answer(demo_service: DemoService) -> None:
    over_http = _run("compare", *ARMS, "--url", demo_service.url, "--format", "json")
    from_lake = _run("compare", *ARMS, "--lake", str(demo_service.lake), "--format", "json")

    assert json.loads(over_http.stdout) == json.loads(from_lake.stdout)
    assert json.loads(over_http.stdout)["overall"]["verdict"] == "hold"


def test_an_exit_code_tells_the_verdict_only_when_asked(demo_service: DemoService) -> None:
    plain = _run("compare", *ARMS, "--url", demo_service.url)
    asked = _run("compare", *ARMS, "--url", demo_service.url, "--exit-code")

    assert (plain.returncode, asked.returncode) == (0, 20)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("compare", *ARMS), "no lake to read. Pass --lake PATH, or --url", id="no-lake"),
        pytest.param(("compare", *ARMS, "--lake", "/absent/lake"), "there is no lake at /absent/lake", id="absent"),
        pytest.param(
            ("compare", "--base", "", "--candidate", "x", "--lake", "."), "'base' is missing. Name", id="no-base"
        ),
        pytest.param(("compare", *ARMS, "--url", "http://127.0.0.1:9"), "start it: tracecanary serve", id="no-service"),
        pytest.param(("compare", *ARMS, "--url", "nonsense"), "Check --url", id="no-url"),
        pytest.param(
            ("prices", "check", "--lake", "http://127.0.0.1:9"), "is a server to send spans to", id="prices-of-server"
        ),
        pytest.param(("serve", "--lake", "lake", "--host", "256.0.0.1"), "can't listen on 256.0.0.1", id="address"),
        pytest.param(("ingest", "/absent.json", "--lake", "lake"), "can't read '/absent.json'", id="no-file"),
    ],
)
def test_what_can_not_be_done_is_one_line_with_the_remedy(arguments: tuple[str, ...], message: str) -> None:
    done = _run(*arguments)

    assert done.returncode == 1
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_without_the_server_packages_the_command_says_what_to_install() -> None:
    run = "import sys; sys.modules['fastapi'] = None; from tracecanary.api.cli.entry import main; main()"

    done = subprocess.run([sys.executable, "-c", run, "--help"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the command line needs fastapi, which is not installed. pip install 'tracecanary[server]'\n"
    )


def test_a_wrong_parameter_reads_alike_from_lake_and_service(demo_service: DemoService) -> None:
    for where in (("--lake", str(demo_service.lake)), ("--url", demo_service.url)):
        done = _run("compare", *ARMS, *where, "--from", "yesterday")

        assert done.returncode == 1
        assert b"use ISO-8601" in done.stderr


def test_files_and_stdin_are_ingested_once_however_often(tmp_path: Path) -> None:
    body = json.dumps(OTLP_REQUEST).encode()
    (tmp_path / "traces.json").write_bytes(body)
    lake = tmp_path / "lake"

    first = _run("ingest", str(tmp_path / "traces.json"), "--lake", str(lake))
    second = _run("ingest", "-", "--lake", str(lake), stdin=body)

    assert first.stdout.decode().startswith("read 1 spans of 1 file into")
    assert second.returncode == 0
    asked = _run("compare", "--base", "from-a-file", "--candidate", "other", "--lake", str(lake))
    assert "seen: from-a-file" in asked.stderr.decode()


def test_a_pattern_without_files_is_named_and_the_other_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "traces.json").write_text(json.dumps(OTLP_REQUEST))

    done = _run("ingest", str(tmp_path / "nomatch*"), str(tmp_path / "traces.json"), "--lake", str(tmp_path / "lake"))

    assert done.returncode == 1
    assert done.stdout.decode().startswith("read 1 spans of 1 file into")
    assert f"'{tmp_path}/nomatch*' stands for no file" in done.stderr.decode()


def test_ingest_applies_the_configuration_file(tmp_path: Path) -> None:
    (tmp_path / "traces.json").write_text(json.dumps(OTLP_REQUEST))
    (tmp_path / "tracecanary.toml").write_text('[models]\naliases = { "from-a-*" = "alias" }')
    lake, config = str(tmp_path / "lake"), str(tmp_path / "tracecanary.toml")

    assert _run("ingest", str(tmp_path / "traces.json"), "--lake", lake, "--config", config).returncode == 0
    asked = _run("compare", "--base", "from-a-file", "--candidate", "other", "--lake", lake, "--config", config)

    assert "seen: alias" in asked.stderr.decode()


@pytest.mark.parametrize(
    "command",
    [("serve", "--port", "0"), ("ingest", "-"), ("compare", *ARMS)],
    ids=["serve", "ingest", "compare"],
)
def test_a_broken_configuration_file_stops_with_every_problem(tmp_path: Path, command: tuple[str, ...]) -> None:
    config = tmp_path / "tracecanary.toml"
    config.write_text("[modles]\n[models]\naliases = 3")

    done = _run(*command, "--lake", str(tmp_path / "lake"), "--config", str(config))

    assert done.returncode == 1
    assert done.stderr.decode() == (
        f"error: {config} has 2 problems:\n"
        '  - [models] aliases is 3, but must be a table of texts, such as aliases = { "name" = "..." }\n'
        "  - [modles] is no section. Did you mean models?\n"
    )
    assert not (tmp_path / "lake").exists()


def test_serve_prints_the_port_it_took_and_stops_on_sigterm(tmp_path: Path) -> None:
    command = [str(TRACECANARY), "serve", "--lake", str(tmp_path / "lake"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(" at ")[1].split(" ")[0]
        try:
            transport = httpx.HTTPTransport(retries=10)
            with httpx.Client(transport=transport, timeout=30) as client:
                assert client.get(f"{url}/healthz").json() == {"status": "ok"}
        finally:
            process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=30) in {0, -signal.SIGTERM}


def test_serve_that_is_interrupted_says_nothing_of_what_it_leaves(tmp_path: Path) -> None:
    command = [str(TRACECANARY), "serve", "--lake", str(tmp_path / "lake"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # by then it answers

        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)

    assert "leak" not in errors


def test_metrics_chosen_to_be_shown_leave_verdict_and_summary_alone(demo_service: DemoService) -> None:
    where = ("--url", demo_service.url)
    everything = _run("compare", *ARMS, *where, "--format", "markdown").stdout.decode()
    shown = _run("compare", *ARMS, *where, "--format", "markdown", "--metric", "latency_p95").stdout.decode()

    assert shown.splitlines()[:3] == everything.splitlines()[:3]
    assert "| latency p95 |" in shown
    assert "| latency p50 |" not in shown


def test_a_filtered_answer_says_for_whom_it_speaks(demo_service: DemoService) -> None:
    done = _run("compare", *ARMS, "--url", demo_service.url, "--cohort", "retail", "--format", "json")

    assert json.loads(done.stdout)["question"]["cohort"] == ["retail"]
    table = _run("compare", *ARMS, "--url", demo_service.url, "--cohort", "retail").stdout.decode()
    assert "(cohort retail only)" in " ".join(table.split())


def test_a_narrow_terminal_loses_no_column(demo_service: DemoService) -> None:
    command = [str(TRACECANARY), "compare", *ARMS, "--url", demo_service.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "60"})

    assert "telecom-solo" in done.stdout
    assert "task_reward fails" in done.stdout
    assert "95 % interval" in done.stdout


def test_what_a_model_is_called_can_not_write_to_the_terminal(tmp_path: Path) -> None:
    body = json.dumps(OTLP_REQUEST).replace("from-a-file", "evil\\u001b]0;x\\u0007\\nverdict: SHIP")
    _run("ingest", "-", "--lake", str(tmp_path), stdin=body.encode())

    done = _run("compare", "--base", "a", "--candidate", "b", "--lake", str(tmp_path))

    assert b"\x1b]" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")

    done = _run("ingest", str(tmp_path / "bad.json"), "--lake", str(tmp_path / "lake"))

    assert done.returncode == 1
    assert b"bad.json: this is no OTLP trace request" in done.stderr


def test_a_file_is_no_lake(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    done = _run("serve", "--lake", str(tmp_path / "file"), "--port", "0")

    assert done.returncode == 1
    assert b"can't make the lake" in done.stderr


def test_a_lake_is_compacted_checked_and_rebuilt(tmp_path: Path) -> None:
    (tmp_path / "traces.json").write_text(json.dumps(OTLP_REQUEST))
    lake = tmp_path / "lake"
    for _ in range(2):
        _run("ingest", str(tmp_path / "traces.json"), "--lake", str(lake))

    compacted = _run("compact", "--lake", str(lake))
    checked = _run("doctor", "--lake", str(lake), "--deep", "--json")
    rebuilt = _run("rebuild", "--lake", str(lake))

    assert compacted.stdout.decode().startswith("adopted 2 segments with 1 row, merged 0 files, wrote 1,")
    answer = json.loads(checked.stdout)
    assert (answer["is_sound"], answer["rows"], answer["findings"]) == (True, {"spans": 1, "evaluations": 0}, [])
    assert rebuilt.stdout.decode().endswith("1 model asked for\n")
    assert (compacted.returncode, checked.returncode, rebuilt.returncode) == (0, 0, 0)


def test_doctor_exits_with_1_and_says_what_to_do_about_a_damaged_segment(tmp_path: Path) -> None:
    (tmp_path / "traces.json").write_text(json.dumps(OTLP_REQUEST))
    lake = tmp_path / "lake"
    _run("ingest", str(tmp_path / "traces.json"), "--lake", str(lake))
    (segment,) = (lake / "landing" / "spans").iterdir()
    segment.write_bytes(segment.read_bytes()[:100])

    compacted = _run("compact", "--lake", str(lake))
    checked = _run("doctor", "--lake", str(lake))

    assert (compacted.returncode, checked.returncode) == (1, 1)
    assert "left out 1 file: tracecanary doctor says what to do" in compacted.stdout.decode()
    said = checked.stdout.decode()
    assert f"error: landing/spans/{segment.name}: " in said
    assert "is damaged" in said
    assert "move it out of the lake" in said
    assert said.endswith("the lake needs attention\n")


def test_ingest_reads_the_other_files_when_one_is_bad(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(OTLP_REQUEST))
    (folder / "b.json").write_text("hello")
    (folder / "c.json").write_text(json.dumps({"resourceLogs": []}))

    done = _run("ingest", str(folder), "--lake", str(tmp_path / "lake"))

    assert done.returncode == 1
    assert "b.json: at byte 0 stands b'h', where neither OTLP in protobuf nor JSON can go on" in done.stderr.decode()
    assert "c.json: passed over 1 request of metrics or plain logs" in done.stdout.decode()
    assert "read 1 spans of 2 files into" in done.stdout.decode()
