"""Ways in which servers run an application: signals, raw forks, multiprocessing, gevent, gunicorn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Stored = Callable[[], list[dict[str, Any]]]
DEADLINE_S = 30.0

SETUP = """
import os, signal, sys
from opentelemetry.sdk.trace import TracerProvider
from tracecanary.collector import CanarySpanProcessor
processor = CanarySpanProcessor({lake!r}, flush_interval_s=3600, flush_on_sigterm={flush_on_sigterm})
provider = TracerProvider()
provider.add_span_processor(processor)
tracer = provider.get_tracer("tests")
"""


def setup(lake: Path, *, flush_on_sigterm: bool = False) -> str:
    return SETUP.format(lake=str(lake), flush_on_sigterm=flush_on_sigterm)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def names(stored: Stored) -> list[str]:
    return sorted(row["name"] for row in stored())


def test_sigterm_flushes_and_still_ends_the_process(lake: Path, stored: Stored) -> None:
    code = setup(lake, flush_on_sigterm=True) + "tracer.start_span('chat').end()\nos.kill(os.getpid(), signal.SIGTERM)"

    done = run(code)

    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert names(stored) == ["chat"]


def test_sigterm_flushes_before_the_handler_that_was_there(lake: Path, stored: Stored) -> None:
    before = (
        "import signal, sys, os\n"
        f"def handle(*_): print(len(os.listdir({str(lake)!r} + '/landing/spans'))); sys.exit(7)\n"
        "signal.signal(signal.SIGTERM, handle)\n"
    )
    act = "tracer.start_span('chat').end()\nos.kill(os.getpid(), signal.SIGTERM)"

    done = run(before + setup(lake, flush_on_sigterm=True) + act)

    assert (done.returncode, done.stdout, done.stderr) == (7, "1\n", "")
    assert names(stored) == ["chat"]


def test_sigterm_is_left_alone_by_default(lake: Path, stored: Stored) -> None:
    done = run(setup(lake) + "print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)")

    assert done.stdout == "True\n"


def test_sigterm_handler_outside_the_main_thread_is_a_warning(lake: Path) -> None:
    code = (
        "import threading\n"
        "from tracecanary.collector import CanarySpanProcessor\n"
        f"make = lambda: CanarySpanProcessor({str(lake)!r}, flush_on_sigterm=True)\n"
        "thread = threading.Thread(target=make); thread.start(); thread.join()"
    )

    done = run(code)

    assert done.returncode == 0
    assert done.stderr.strip() == ("flush_on_sigterm has no effect: signal handlers can only be set in the main thread")


def test_fork_that_no_hook_tells_of_is_noticed(lake: Path, stored: Stored) -> None:
    code = setup(lake) + (
        "import ctypes\n"
        "tracer.start_span('parent').end(); assert processor.force_flush()\n"
        "pid = ctypes.PyDLL(None).fork()\n"
        "if not pid:\n"
        "    tracer.start_span('child').end(); done = processor.force_flush(10_000); os._exit(0 if done else 1)\n"
        "assert os.waitpid(pid, 0)[1] == 0"
    )

    done = run(code)

    assert (done.returncode, done.stderr) == (0, "")
    assert names(stored) == ["child", "parent"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_write_what_they_traced(
    lake: Path, stored: Stored, tmp_path: Path, method: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        setup(lake) + "import multiprocessing\n"
        "def work(): tracer.start_span('child').end()\n"
        "if __name__ == '__main__':\n"
        "    tracer.start_span('parent').end()\n"
        f"    child = multiprocessing.get_context({method!r}).Process(target=work)\n"
        "    child.start(); child.join(); sys.exit(child.exitcode)\n"
    )

    done = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert names(stored) == ["child", "parent"]


@pytest.mark.parametrize("patch_first", [True, False], ids=["patched before", "patched after"])
def test_greenlets_do_not_deadlock(lake: Path, stored: Stored, *, patch_first: bool) -> None:
    pytest.importorskip("gevent")
    patch = "from gevent import monkey; monkey.patch_all()\n"
    work = (
        "import gevent\n"
        "def work(number):\n"
        "    for _ in range(50): tracer.start_span('chat').end(); gevent.sleep(0)\n"
        "gevent.joinall([gevent.spawn(work, number) for number in range(20)])\n"
        "assert processor.force_flush(10_000)\n"
        "tracer.start_span('last').end()"
    )

    done = run((patch + setup(lake) if patch_first else setup(lake) + patch) + work)

    # Patched after threads were started, gevent leaves a traceback of the threading module, of whatever thread it is.
    assert (done.returncode, done.stderr if patch_first else "") == (0, "")
    assert names(stored) == ["chat"] * 1_000 + ["last"]


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
def test_workers_of_gunicorn_that_were_forked_from_a_loaded_application_write(
    lake: Path, stored: Stored, tmp_path: Path, worker: str
) -> None:
    pytest.importorskip("gunicorn")
    if worker == "gevent":
        pytest.importorskip("gevent")
    (tmp_path / "application.py").write_text(
        setup(lake) + "tracer.start_span('loaded').end()\n"
        "def app(environ, start_response):\n"
        "    with tracer.start_as_current_span('request'): start_response('200 OK', [])\n"
        "    return [b'done']\n"
    )
    socket = tmp_path / "address"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=1", f"--worker-class={worker}"]
    command += ["--bind=127.0.0.1:0", "--no-control-socket", "application:app"]
    with socket.open("w") as log, subprocess.Popen(command, cwd=tmp_path, stderr=log) as server:
        try:
            url = "http://" + wait_for_address(socket)
            for _ in range(10):
                with urllib.request.urlopen(url, timeout=DEADLINE_S) as answer:
                    assert answer.read() == b"done"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(DEADLINE_S)

    assert names(stored) == ["loaded"] + ["request"] * 10, socket.read_text()


def wait_for_address(log: Path) -> str:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        for line in log.read_text().splitlines():
            if "Listening at: http://" in line:
                return line.partition("http://")[2].split()[0]
        os.sched_yield()
    raise AssertionError(log.read_text())
