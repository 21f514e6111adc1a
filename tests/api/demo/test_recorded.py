from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files

import pytest

from tracecanary.api.demo import Greeting, LlmCall, RecordedRun, RequestedTool, ToolCall, load_runs, parse_runs
from tracecanary.schema import MalformedInputError

GREETING = {"k": "static", "who": "agent", "t": 0.014}
LLM_CALL = {"k": "llm", "who": "agent", "t": 2.393, "in": 3346, "out": 57, "cost": 0.002, "tools": [["find", "5c50"]]}
TOOL_CALL = {"k": "tool", "who": "agent", "t": 2.394, "name": "find", "args": "5c50", "err": True}


def record(**changes: object) -> Mapping[str, object]:
    return {
        "run_id": "83e60796:b762699f",
        "task_id": "airline/13",
        "trial": 0,
        "seed": 626729,
        "cohort": "airline",
        "domain": "airline",
        "harness": "llm_agent",
        "model": "gpt-4.1",
        "start": "2025-08-01T16:20:44.321269",
        "end": "2025-08-01T16:21:03.551551",
        "duration_s": 19.226,
        "cost_usd": 0.02746,
        "reward": 1.0,
        "passed": True,
        "termination": "user_stop",
        "calls": [GREETING, LLM_CALL, TOOL_CALL],
        **changes,
    }


def test_packaged_file_holds_two_arms_of_140_runs_on_the_same_tasks() -> None:
    runs = load_runs()

    assert Counter((run.model.split(":")[0], run.cohort) for run in runs) == {
        ("gpt-4.1", "airline"): 20,
        ("gpt-4.1", "retail"): 40,
        ("gpt-4.1", "telecom"): 40,
        ("gpt-4.1", "telecom-solo"): 40,
        ("ft", "airline"): 20,
        ("ft", "retail"): 40,
        ("ft", "telecom"): 40,
        ("ft", "telecom-solo"): 40,
    }
    assert set(Counter((run.cohort, run.task_id, run.trial, run.seed) for run in runs).values()) == {2}
    assert len({run.run_id for run in runs}) == 280


def test_packaged_calls_add_up_to_the_totals_the_source_recorded() -> None:
    packed = (files("tracecanary.api.demo") / "data" / "sierra_tau2_pair.jsonl.gz").read_bytes()
    totals = {(found := json.loads(line))["run_id"]: found for line in gzip.decompress(packed).splitlines()}

    for run in load_runs():
        llm_calls = [call for call in run.calls if isinstance(call, LlmCall) and call.actor == "agent"]
        tool_calls = [call for call in run.calls if isinstance(call, ToolCall) and call.actor == "agent"]
        total = totals[run.run_id]
        assert sum(call.input_tokens for call in llm_calls) == total["input_tokens"]
        assert sum(call.output_tokens for call in llm_calls) == total["output_tokens"]
        assert (len(llm_calls), len(tool_calls)) == (total["llm_calls"], total["tool_calls"])
        assert sum(call.has_failed for call in tool_calls) == total["tool_errors"]
        if run.cost_usd is not None:
            assert sum(call.cost_usd for call in llm_calls) == pytest.approx(run.cost_usd, abs=1e-9)


def test_packaged_file_names_no_time_of_packing() -> None:
    packed = (files("tracecanary.api.demo") / "data" / "sierra_tau2_pair.jsonl.gz").read_bytes()

    assert packed[4:8] == bytes(4)


def test_record_is_read_with_its_times_as_utc() -> None:
    (run,) = parse_runs([json.dumps(record())])

    assert run.start_unix_ns == 1_754_065_244_321_269_000
    assert run.end_unix_ns == run.start_unix_ns + 19_226_000_000
    assert run.ended_at.isoformat() == "2025-08-01T16:21:03.551551+00:00"
    assert run.calls == (
        Greeting(end_ns=14_000_000),
        LlmCall(
            actor="agent",
            end_ns=2_393_000_000,
            input_tokens=3346,
            output_tokens=57,
            cost_usd=0.002,
            requested_tools=(RequestedTool(name="find", arguments_hash="5c50"),),
        ),
        ToolCall(actor="agent", end_ns=2_394_000_000, name="find", arguments_hash="5c50", has_failed=True),
    )


def test_unpriced_run_has_no_cost() -> None:
    (run,) = parse_runs([json.dumps(record(cost_usd=None))])

    assert run.cost_usd is None


def test_broken_line_is_named_by_its_number() -> None:
    lines = [json.dumps(record()), '{"run_id": "83e6']

    with pytest.raises(MalformedInputError, match=r"^line 2 of the recorded runs can't be read: Unterminated string"):
        parse_runs(lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(json.dumps([1]), r"\[1\] is no JSON object", id="no-object"),
        pytest.param(json.dumps(record(run_id=None)), "'run_id' is None, not of type str", id="null-id"),
        pytest.param(json.dumps(record(trial=True)), "'trial' is True, not of type int", id="boolean-number"),
        pytest.param(json.dumps(record(start="yesterday")), "Invalid isoformat string: 'yesterday'", id="time"),
        pytest.param(json.dumps(record(duration_s=-1)), "'duration_s' is -1.0, a negative time", id="negative"),
        pytest.param(json.dumps(record(reward=float("nan"))), "'reward' is nan, not a finite number", id="nan"),
        pytest.param(json.dumps(record(duration_s=10**400)), "int too large to convert to float", id="huge"),
        pytest.param(json.dumps(record(calls=[{"k": "poem", "t": 1}])), "unknown kind 'poem'", id="unknown-kind"),
        pytest.param(json.dumps(record(calls=[LLM_CALL | {"who": "cat"}])), "made by 'cat'", id="unknown-actor"),
        pytest.param(
            json.dumps(record(calls=[LLM_CALL | {"tools": [["a"]]}])), r"requested tool is \['a'\]", id="tool"
        ),
        pytest.param(json.dumps(record(calls=[LLM_CALL, GREETING])), "before the one recorded ahead", id="backwards"),
    ],
)
def test_line_that_is_no_run_says_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(MalformedInputError, match=message):
        parse_runs([line])


def test_runs_are_values(runs: list[RecordedRun]) -> None:
    assert load_runs() == runs
