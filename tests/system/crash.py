"""An application under load that is killed at a random moment, and a look at what of it survived.

Run as a script, it is the application: threads end spans and append the ids of traces that a flush has acknowledged,
and of all with the time of their end, to files that the parent reads afterwards.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

FLUSH_INTERVAL_S = 0.1
SEAL_INTERVAL_S = 0.4
# Between the end of the interval and the sync of the journal: converting and writing, on a machine shared by others.
PATIENCE_S = 1.0
_THREADS = 3
CALL = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """What a killed application had done, by trace id."""

    acknowledged: set[str]
    older_than_interval: set[str]
    ended: set[str]


def crash(lake: Path, notes: Path, *, seed: int) -> Crash:
    """Run the application, kill it after a random time, and return what it had done."""
    notes.mkdir()
    with subprocess.Popen([sys.executable, __file__, str(lake), str(notes)], stdout=subprocess.PIPE) as application:
        assert application.stdout is not None
        assert application.stdout.readline() == b"started\n"
        time.sleep(_random(seed).uniform(0.0, 2.0))
        application.kill()
        killed_ns = time.time_ns()
        assert application.wait() == -signal.SIGKILL
    ended = [line.split() for path in notes.glob("ended-*") for line in _whole_lines(path)]
    oldest_ns = killed_ns - int((FLUSH_INTERVAL_S + PATIENCE_S) * 1e9)
    return Crash(
        acknowledged={line for path in notes.glob("acknowledged-*") for line in _whole_lines(path)},
        older_than_interval={trace_id for trace_id, ended_ns in ended if int(ended_ns) < oldest_ns},
        ended={trace_id for trace_id, _ in ended},
    )


def _random(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  for load and moments, not for secrets


def _whole_lines(path: Path) -> list[str]:
    return path.read_text(encoding="ascii").rpartition("\n")[0].splitlines()


def _run(lake: str, notes: Path) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from tracecanary.collector import CanarySpanProcessor

    processor = CanarySpanProcessor(lake, flush_interval_s=FLUSH_INTERVAL_S, seal_interval_s=SEAL_INTERVAL_S)
    provider = TracerProvider()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("load")

    def load(number: int) -> None:
        with (
            (notes / f"ended-{number}").open("w", encoding="ascii") as ended,
            (notes / f"acknowledged-{number}").open("w", encoding="ascii") as acknowledged,
        ):
            rng = _random(number)
            while True:
                batch = []
                for _ in range(rng.randrange(1, 60)):
                    span = tracer.start_span("chat", attributes=CALL)
                    span.end()
                    batch.append(f"{span.get_span_context().trace_id:032x}")
                ended.write("".join(f"{trace_id} {time.time_ns()}\n" for trace_id in batch))
                ended.flush()
                # Rarely: a flush publishes, and most of what a crash finds shall be in the journal.
                if rng.random() < 0.003 and processor.force_flush():
                    acknowledged.write("".join(f"{trace_id}\n" for trace_id in batch))
                    acknowledged.flush()
                time.sleep(rng.uniform(0, 0.01))

    for number in range(_THREADS):
        threading.Thread(target=load, args=(number,), daemon=True).start()
    print("started", flush=True)  # noqa: T201  tells the parent
    threading.Event().wait()


if __name__ == "__main__":
    _run(sys.argv[1], Path(sys.argv[2]))
