"""What only shows in a process of its own: imports, forks, the interpreter's exit."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tracecanary.collector.journal import publish_orphans

Stored = Callable[[], list[dict[str, Any]]]
EXAMPLE = Path(__file__).parents[2] / "examples" / "add_processor.py"

SETUP = """
import os, sys
from opentelemetry.sdk.trace import TracerProvider
from tracecanary.collector import CanarySpanProcessor
processor = CanarySpanProcessor(sys.argv[1], flush_interval_s=3600)
provider = TracerProvider()
provider.add_span_processor(processor)
tracer = provider.get_tracer("tests")
"""
IN_CHILD = """
pid = os.fork()
if not pid:
    {child}
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print(pid)
"""


def run(code: str, *arguments: object) -> str:
    # From Python 3.12 on a fork beside threads warns; the fork is what is tested.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def segment_pids(lake: Path) -> list[str]:
    return [path.name.split("-")[1] for path in (lake / "landing" / "spans").iterdir()]


def test_import_loads_nothing_heavy() -> None:
    loaded = run(
        "import sys, tracecanary.collector\n"
        "print([name for name in ('pyarrow', 'numpy', 'duckdb', 'fastapi', 'google.protobuf') if name in sys.modules])"
    )

    assert ast.literal_eval(loaded) == []


def test_the_writers_thread_loads_arrow_and_waits_for_the_first_span_only(lake: Path) -> None:
    loading_thread = run(
        SETUP + "import importlib.abc, threading, time\n"
        "loading = []\n"
        "class Watch(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'pyarrow': loading.append(threading.current_thread().name)\n"
        "sys.meta_path.insert(0, Watch())\n"
        "assert 'pyarrow' not in sys.modules\n"
        "tracer.start_span('chat').end()\n"
        "deadline = time.monotonic() + 60\n"
        "while not loading and time.monotonic() < deadline: time.sleep(0.01)\n"
        "print(*loading)",
        lake,
    )

    assert loading_thread == "tracecanary-writer"


def test_pending_spans_are_written_at_exit_without_a_shutdown_call(lake: Path, stored: Stored) -> None:
    run(SETUP + "for number in range(100): tracer.start_span('chat').end()", lake)

    assert len(stored()) == 100


def test_pending_spans_are_written_when_the_application_ends_with_an_exception(lake: Path, stored: Stored) -> None:
    code = SETUP + "tracer.start_span('chat').end()\nraise SystemExit(3)"

    done = subprocess.run([sys.executable, "-c", code, lake], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (3, "")
    assert len(stored()) == 1


def test_forked_child_writes_its_own_spans_under_its_own_pid_and_the_parents_once(lake: Path, stored: Stored) -> None:
    child = "tracer.start_span('child').end(); assert processor.force_flush()"
    code = SETUP + "tracer.start_span('parent').end()" + IN_CHILD.format(child=child) + "provider.shutdown()"

    child_pid = run(code, lake)

    assert sorted(row["name"] for row in stored()) == ["child", "parent"]
    pids = segment_pids(lake)
    assert (len(pids), pids.count(child_pid)) == (2, 1)


def test_fork_after_the_parent_has_written_works_too(lake: Path, stored: Stored) -> None:
    child = "tracer.start_span('child').end(); assert processor.force_flush()"
    first = "tracer.start_span('parent').end()\nassert processor.force_flush()"

    run(SETUP + first + IN_CHILD.format(child=child), lake)

    assert sorted(row["name"] for row in stored()) == ["child", "parent"]


def test_fork_while_the_writer_first_uses_arrow_leaves_the_child_able_to_write(lake: Path, stored: Stored) -> None:
    # Without the lock, the child waits for ever for a lock whose thread was left behind in its parent.
    child = "tracer.start_span('child').end(); assert processor.force_flush(10_000)"
    start_import = (
        "tracer.start_span('parent').end()\nprocessor.force_flush(0)\nwhile 'pyarrow' not in sys.modules: pass"
    )

    run(SETUP + start_import + IN_CHILD.format(child=child), lake)

    assert sorted(row["name"] for row in stored()) == ["child", "parent"]


def test_forked_child_counts_its_own_losses_only(lake: Path) -> None:
    code = (
        SETUP
        + "processor.on_end(None)\nassert processor.dropped == {'internal': 1}\n"
        + "provider.shutdown()\ntracer.start_span('late').end()"
    )
    child = (
        "assert processor.dropped == {}; tracer.start_span('late').end(); "
        "assert processor.dropped == {'already_shutdown': 1}; assert processor.force_flush()"
    )

    run(code + IN_CHILD.format(child=child), lake)

    assert not lake.exists()


def test_processors_that_were_shut_down_are_freed(lake: Path) -> None:
    count = run(
        SETUP + "import gc, weakref\n"
        "made = []\n"
        "for _ in range(20):\n"
        "    one = CanarySpanProcessor(sys.argv[1])\n"
        "    one.shutdown()\n"
        "    made.append(weakref.ref(one))\n"
        "del one\n"
        "gc.collect()\n"
        "print(sum(1 for one in made if one() is not None))",
        lake,
    )

    assert count == "0"


def test_file_that_cannot_grow_keeps_the_spans_until_there_is_room(lake: Path, stored: Stored) -> None:
    run(
        SETUP + "import logging, resource\n"
        "logging.disable()\n"
        "tracer.start_span('chat').end()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))\n"
        "assert not processor.force_flush()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "assert processor.force_flush()\n",
        lake,
    )

    assert len(stored()) == 1
    assert [path.suffix for path in (lake / "landing" / "spans").iterdir()] == [".parquet"]


@pytest.mark.parametrize(
    ("missing", "dropped", "journaled"),
    [
        pytest.param("pyarrow", {"not_written": 1}, 0, id="all"),
        pytest.param("pyarrow.parquet", {}, 1, id="parquet"),  # the journal needs none
    ],
)
def test_missing_arrow_loses_no_span_uncounted(
    lake: Path, missing: str, dropped: dict[str, int], journaled: int
) -> None:
    run(
        SETUP + "import logging\n"
        "logging.disable()\n"
        f"sys.modules[{missing!r}] = None\n"
        "tracer.start_span('chat').end()\n"
        "assert not processor.force_flush()\n"
        "provider.shutdown()\n"
        f"assert processor.dropped == {dropped!r}",
        lake,
    )

    assert publish_orphans(lake) == journaled


def test_example_writes_its_spans_and_says_where(tmp_path: Path, stored: Stored, lake: Path) -> None:
    command = [sys.executable, str(EXAMPLE)]

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, env={"TMPDIR": str(tmp_path)}
    )

    printed = Path(done.stdout.strip().removeprefix("the lake is at "))
    printed.rename(lake)
    assert sorted((row["name"], row["cohort"], row["model"]) for row in stored()) == [
        ("POST /chat", "free", None),
        ("POST /chat", "pro", None),
        ("chat gpt-4.1", "free", "gpt-4.1"),
        ("chat gpt-4.1-mini", "pro", "gpt-4.1-mini"),
    ]


def test_thread_pools_imported_late_do_not_hang_the_child(lake: Path, stored: Stored) -> None:
    # As pandas does, which pyarrow imports where it is installed.
    child = "tracer.start_span('child').end(); assert processor.force_flush(10_000)"

    run(SETUP + "import concurrent.futures.thread\n" + IN_CHILD.format(child=child), lake)

    assert [row["name"] for row in stored()] == ["child"]


def test_signal_handler_that_ends_spans_in_the_middle_of_judging_waits_for_nothing(lake: Path) -> None:
    code = """
import signal, sys, time
from opentelemetry.sdk.trace import TracerProvider
from tracecanary.collector import CanarySpanProcessor, RefusalEvaluator
processor = CanarySpanProcessor(sys.argv[1], flush_interval_s=3600, evaluators=[RefusalEvaluator()])
provider = TracerProvider()
provider.add_span_processor(processor)
tracer = provider.get_tracer("tests")
ended = 0

def end_span(*_):
    global ended
    span = tracer.start_span("chat", attributes={
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.completion": "no"})
    span.end()
    ended += 1

signal.signal(signal.SIGALRM, end_span)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
until = time.monotonic() + 2
while time.monotonic() < until:
    for _ in range(200):
        span = tracer.start_span("chat", attributes={
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.completion": "no"})
        span.end()
    processor.force_flush(2_000)
signal.setitimer(signal.ITIMER_REAL, 0)
assert processor.shutdown()
assert processor.dropped == {}
print(ended > 0)
"""

    assert run(code, lake) == "True"
