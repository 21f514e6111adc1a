"""The real `opentelemetry-instrument`, in a process of its own, in the three ways that need no code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Stored = Callable[[], list[dict[str, Any]]]

APPLICATION = """
from opentelemetry import trace
with trace.get_tracer("app").start_as_current_span("chat"):
    print("it works")
"""
ADDS_ITS_OWN = """
from opentelemetry import trace
print(len(trace.get_tracer_provider()._active_span_processor._span_processors))
"""
CONFIGURATION = """
file_format: "1.0"
tracer_provider:
  processors:
    - batch:
        exporter:
          tracecanary:
            lake: {lake}
"""


def instrument(code: str, **environment: object) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "-c", code]
    ours = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "TRACECANARY_"))}
    given = {name: str(value) for name, value in environment.items()}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**inherited, **ours, **given}
    )


def assert_works(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, "it works\n", "")


def test_lake_in_the_environment_is_all_that_a_processor_needs(lake: Path, stored: Stored) -> None:
    done = instrument(APPLICATION, TRACECANARY_LAKE=lake)

    assert_works(done)
    assert [row["name"] for row in stored()] == ["chat"]


def test_exporter_by_its_name(lake: Path, stored: Stored) -> None:
    done = instrument(APPLICATION, TRACECANARY_LAKE=lake, OTEL_TRACES_EXPORTER="tracecanary")

    assert_works(done)
    assert [row["name"] for row in stored()] == ["chat"]  # once: no processor was added to it


def test_exporter_in_a_configuration_file(lake: Path, stored: Stored, tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text(CONFIGURATION.format(lake=lake))

    done = instrument(APPLICATION, OTEL_CONFIG_FILE=file)

    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (0, "it works\n", False)
    assert [row["name"] for row in stored()] == ["chat"]


def test_processor_is_added_to_what_a_configuration_file_sets_up(lake: Path, stored: Stored, tmp_path: Path) -> None:
    file = tmp_path / "otel.yaml"
    file.write_text('file_format: "1.0"\ntracer_provider:\n  processors:\n    - simple: {exporter: {console: {}}}\n')

    done = instrument(APPLICATION, OTEL_CONFIG_FILE=file, TRACECANARY_LAKE=lake)

    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert [row["name"] for row in stored()] == ["chat"]


@pytest.mark.parametrize(
    ("environment", "processors"),
    [
        pytest.param({}, 1, id="processor"),
        pytest.param({"OTEL_TRACES_EXPORTER": "tracecanary"}, 1, id="exporter"),
        pytest.param({"TRACECANARY_DISABLED": "true"}, 0, id="turned off"),
    ],
)
def test_lake_is_captured_into_once(lake: Path, environment: dict[str, str], processors: int) -> None:
    done = instrument(ADDS_ITS_OWN, TRACECANARY_LAKE=lake, **environment)

    assert (done.stdout, done.stderr) == (f"{processors}\n", "")


@pytest.mark.parametrize("switch", ["TRACECANARY_DISABLED", "OTEL_SDK_DISABLED"])
def test_capture_can_be_turned_off(lake: Path, switch: str) -> None:
    done = instrument(APPLICATION, **{"TRACECANARY_LAKE": lake, "OTEL_TRACES_EXPORTER": "tracecanary", switch: "true"})

    assert (done.returncode, done.stdout) == (0, "it works\n")
    assert not lake.exists()


def test_without_a_lake_nothing_happens() -> None:
    assert_works(instrument(APPLICATION))


@pytest.mark.parametrize("exporter", ["none", "tracecanary"])
def test_bad_settings_are_all_named_and_leave_the_application_alone(lake: Path, exporter: str) -> None:
    done = instrument(
        APPLICATION,
        OTEL_TRACES_EXPORTER=exporter,
        TRACECANARY_LAKE=lake,
        TRACECANARY_FLUSH_INTERVAL_S="soon",
        TRACECANARY_MAX_PENDING_SPANS="-1",
    )

    assert (done.returncode, done.stdout) == (0, "it works\n")
    assert "TRACECANARY_FLUSH_INTERVAL_S is 'soon', which is no number" in done.stderr
    assert "max_pending_spans is -1, but must be a whole number greater than 0" in done.stderr
    assert "Traceback" not in done.stderr
    assert not lake.exists()


def test_a_selection_that_cannot_be_read_hides_no_other_problem(lake: Path) -> None:
    done = instrument(
        APPLICATION, TRACECANARY_LAKE=lake, TRACECANARY_SELECT="=canary", TRACECANARY_MAX_PENDING_SPANS="-1"
    )

    assert (done.returncode, done.stdout) == (0, "it works\n")
    assert "TRACECANARY_SELECT is '=canary'" in done.stderr
    assert "max_pending_spans is -1" in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("TRACECANARY_DISABLED", "maybe", "TRACECANARY_DISABLED is 'maybe', which is no true or false"),
        ("TRACECANARY_SELECT", "=canary", "TRACECANARY_SELECT is '=canary', but must be name or name=value"),
    ],
)
def test_switches_that_cannot_be_read_are_logged(lake: Path, variable: str, value: str, problem: str) -> None:
    done = instrument(APPLICATION, TRACECANARY_LAKE=lake, **{variable: value})

    assert (done.returncode, done.stdout) == (0, "it works\n")
    assert f"tracecanary captures nothing: {problem}" in done.stderr
    assert not lake.exists()


def test_selection_comes_from_the_environment(lake: Path, stored: Stored) -> None:
    code = (
        "from opentelemetry import trace\n"
        "from tracecanary.collector import canary_context\n"
        "tracer = trace.get_tracer('app')\n"
        "tracer.start_span('other').end()\n"
        "for variant in ('base', 'canary', 'next'):\n"
        "    with canary_context(variant=variant): tracer.start_span(variant).end()\n"
        "tracer.start_span('flagged', attributes={'is_canary': True}).end()"
    )
    select = "release.variant=base, release.variant=canary, is_canary=true"

    done = instrument(code, TRACECANARY_LAKE=lake, TRACECANARY_SELECT=select)

    assert done.stderr == ""
    assert sorted(row["name"] for row in stored()) == ["base", "canary", "flagged"]
