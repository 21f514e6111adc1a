"""`tracecanary demo`: the whole product on recorded runs, in one command."""

from __future__ import annotations

import shlex
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tracecanary.analytics.answer import Answer
from tracecanary.api.demo import RecordedRun, load_runs, outcomes, replay_runs, replay_tracer_provider
from tracecanary.api.presentation import answer_view, table_console
from tracecanary.api.service import running_service
from tracecanary.collector import CanarySpanProcessor
from tracecanary.schema import FileLake, StoreError, parse_file_lake

if TYPE_CHECKING:
    import httpx

BASE = "gpt-4.1"
CANDIDATE = "ft:gpt-4.1-2025-04-14:sierra:tau2-full-sft:BzrYdMNm"
_OUTCOMES_PER_REQUEST = 100
_HOW_TO_KEEP = "make demo KEEP=1, or tracecanary demo --keep, leaves it running"
# Shorter than an application's, so that the lake fills while the bar moves.
_FLUSH_INTERVAL_S = 0.25
_TIMEOUT_S = 60.0


def demo(
    lake: Annotated[str | None, typer.Option(help="folder or URL to keep the lake at; temporary by default")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="leave the service running afterwards, until Ctrl-C")] = False,
) -> None:
    """Compare gpt-4.1 with its fine-tune on 280 recorded runs of an agent.

    Every run is replayed through the OpenTelemetry SDK and the span processor into a lake; its recorded outcome is
    posted afterwards, as late evaluations are; then the service is asked. Nothing is simulated.
    """
    import httpx  # late: it costs the start of every command, and of the service, 0.1 s

    # As Ctrl-C, so that a temporary lake is removed when a supervisor stops the demo, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = table_console()
    with (
        _lake(lake) as location,
        running_service(location) as url,
        # The service is our own, on loopback: a proxy from the environment could not reach it.
        httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client,
    ):
        runs = load_runs()
        with _progress(console) as progress:
            _replay(runs, lake or str(location), progress)
            _post_outcomes(runs, client, progress)
        answer = _ask(client)
        console.print(answer_view(answer))
        shown = str(location) if lake is None or isinstance(location, Path) else lake
        _print_links(console, url, shown, is_kept=lake is not None, is_running=keep)
        if keep:
            _wait_for_interrupt()


@contextmanager
def _lake(lake: str | None) -> Iterator[FileLake]:
    if lake is not None:
        yield parse_file_lake(lake)
        return
    folder = Path(tempfile.mkdtemp(prefix="tracecanary-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _replay(runs: list[RecordedRun], lake: str, progress: Progress) -> None:
    task = progress.add_task("replaying runs as traces", total=len(runs))
    processor = CanarySpanProcessor(lake, flush_interval_s=_FLUSH_INTERVAL_S, seal_interval_s=_FLUSH_INTERVAL_S)
    provider = replay_tracer_provider()
    provider.add_span_processor(processor)
    replay_runs(runs, tracer_provider=provider, on_run=lambda: progress.advance(task))
    provider.shutdown()
    if processor.dropped:
        raise StoreError(f"the replay lost spans: {dict(processor.dropped)}. Check that {lake} is writable.")


def _post_outcomes(runs: list[RecordedRun], client: httpx.Client, progress: Progress) -> None:
    evaluations = outcomes(runs)
    task = progress.add_task("posting their outcomes, late", total=len(evaluations))
    for first in range(0, len(evaluations), _OUTCOMES_PER_REQUEST):
        batch = evaluations[first : first + _OUTCOMES_PER_REQUEST]
        receipt = client.post("/v1/evaluations", json={"evaluations": batch}).raise_for_status().json()
        if receipt["rejected"]:
            raise StoreError(f"the service rejected recorded outcomes: {receipt['rejected'][0]}")
        progress.advance(task, receipt["accepted"])


def _ask(client: httpx.Client) -> Answer:
    response = client.get("/compare", params={"base": BASE, "candidate": CANDIDATE}).raise_for_status()
    return Answer.model_validate_json(response.content)


def _print_links(console: Console, url: str, lake: str, *, is_kept: bool, is_running: bool) -> None:
    query = urlencode({"base": BASE, "candidate": CANDIDATE})
    # The port of a service that has stopped would be a link to nowhere.
    where = url if is_running else ""
    lines = [
        "The service runs until Ctrl-C:" if is_running else f"Asked of the service, which has stopped; {_HOW_TO_KEEP}:",
        f"  answer         {where}/compare?{query}",
        f"  report         {where}/report?{query}",
        f"  documentation  {where}/docs",
    ]
    if is_kept and not is_running:
        lines.append(f"The lake stays: tracecanary serve --lake {shlex.quote(lake)} serves it again.")
    console.print("\n".join(lines), soft_wrap=True, highlight=False, markup=False)


def _wait_for_interrupt() -> None:
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return
