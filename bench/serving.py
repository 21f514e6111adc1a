"""The service in a process of its own, and what is in its lake."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from processes import running, wait_until

from tracecanary.schema import LakeTable, list_lake_files

_TRACECANARY = Path(sys.executable).with_name("tracecanary")
_KEYS = {
    LakeTable.SPANS: ["trace_id", "span_id"],
    LakeTable.EVALUATIONS: ["trace_id", "span_id", "name", "version", "source"],
}
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service: addresses are host:port."""

    pid: int
    url: str
    http: str
    grpc: str

    @classmethod
    @contextmanager
    def started(cls, lake: Path) -> Iterator[Service]:
        """Serve `lake` on free ports while the block runs."""
        command: list[str | Path] = [_TRACECANARY, "serve", "--lake", lake, "--port", "0"]
        with running(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split(" at ")[1].split(" ")[0]
            grpc = line.split("gRPC at ")[1].split(" ")[0].rstrip(".")
            yield cls(pid=process.pid, url=url, http=url.removeprefix("http://"), grpc=grpc)

    def get(self, path: str) -> bytes:
        """Return what the service answers."""
        with urllib.request.urlopen(self.url + path, timeout=_PATIENCE_S) as response:
            answer: bytes = response.read()
            return answer

    def wait_until_sealed(self) -> None:
        """Wait until nothing is in the journal any more."""
        wait_until(
            lambda: b"\ntracecanary_journal_bytes 0.0\n" in self.get("/metrics"),
            what="an empty journal",
            patience_s=_PATIENCE_S,
        )


def distinct_rows(lake: Path, table: LakeTable) -> int:
    """Count the rows of a table that readers see: of equal keys one."""
    keys = _KEYS[table]
    parts = [pq.read_table(lake / name, columns=keys) for name in list_lake_files(lake).names(table)]
    return pa.concat_tables(parts).group_by(keys).aggregate([]).num_rows if parts else 0
