"""What facts, rollups and questions cost: a lake of generated spans, built from nothing, asked, and grown by a segment.

CPU time is that of the whole process; wall time drifts on shared machines. Run it with two sizes to see what is flat.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from comparing import measure_comparing

from tracecanary.analytics.listings import list_cohorts, list_models, metric_series
from tracecanary.analytics.question import Selection
from tracecanary.analytics.store import Store
from tracecanary.analytics.traces import list_traces
from tracecanary.schema import EVALUATION_COLUMNS, SPAN_COLUMNS, Column, LakeTable, arrow_schema, landing_folder

RESULTS = Path(__file__).parent / "results"
SPANS_PER_TRACE, SPANS_PER_FILE, DAYS = 8, 20_000, 30
# Large lakes have a file an hour, as compaction leaves them.
MOST_FILES = DAYS * 24
FIRST_NS = 1_780_272_000_000_000_000
DAY_NS = 86_400_000_000_000
NEW_SPANS = 4_000
# One agent, four model calls and three tool calls a trace; 10 % of the traces ask the candidate; 30 cohorts; 20 traces
# a user; 2 % with a failed model call, 4 % with a failed tool call; half of the traces are judged.
TRACES = """
CREATE OR REPLACE TEMP TABLE traces AS SELECT
    i,
    md5(concat('trace', i)) AS trace_id,
    $first_ns + CAST(i / $traces * $extent_ns AS BIGINT) AS start_ns,
    CASE WHEN hash(i) % 100 < 10 THEN 'candidate' ELSE 'base' END AS model,
    concat('tenant-', hash(i * 7) % 30) AS cohort,
    concat('user-', hash(i * 13) % ($traces // 20 + 1)) AS user_id,
    CAST(2e9 * exp(0.6 * sqrt(-2 * ln((hash(i * 3) % 1000003 + 1) / 1000004)) * cos(2 * pi() * (hash(i * 5) % 1000003)
        / 1000003)) AS BIGINT) AS duration_ns
FROM range($start, $stop) AS numbers(i)
"""
SPANS = """
FROM no_spans UNION ALL BY NAME SELECT
    trace_id,
    substr(md5(concat(trace_id, k)), 1, 16) AS span_id,
    CASE WHEN k > 0 THEN substr(md5(concat(trace_id, 0)), 1, 16) END AS parent_span_id,
    CASE WHEN k = 0 THEN 'invoke_agent' WHEN k % 2 = 1 THEN concat('chat ', model) ELSE 'execute_tool search' END
        AS name,
    CASE WHEN k = 0 THEN 'internal' ELSE 'client' END AS otel_kind,
    start_ns + k * duration_ns // 8 AS start_unix_ns,
    CASE WHEN k = 0 THEN duration_ns ELSE duration_ns // 9 END AS duration_ns,
    CASE WHEN k = 7 AND hash(i * 11) % 100 < 2 OR k = 2 AND hash(i * 17) % 100 < 4 THEN 'error' ELSE 'unset' END
        AS status,
    CASE WHEN k % 2 = 1 THEN concat('chatcmpl-', md5(concat(trace_id, k, 'answer'))) END AS response_id,
    'otel_genai' AS convention,
    'opentelemetry.instrumentation.openai_v2' AS scope_name,
    'support' AS service_name,
    'prod' AS environment,
    CASE WHEN k = 0 THEN 'agent' WHEN k % 2 = 1 THEN 'llm' ELSE 'tool' END AS kind,
    CASE WHEN k % 2 = 1 THEN 'chat' END AS operation,
    'openai' AS provider,
    CASE WHEN k % 2 = 1 THEN model END AS model,
    CASE WHEN k % 2 = 1 THEN CAST(hash(i * 19 + k) % 3000 + 200 AS BIGINT) END AS input_tokens,
    CASE WHEN k % 2 = 1 THEN CAST(hash(i * 23 + k) % 400 + 10 AS BIGINT) END AS output_tokens,
    CASE WHEN k % 2 = 1 THEN CAST(hash(i * 19 + k) % 3000 + 200 AS BIGINT) * 2000 END AS reported_cost_nano_usd,
    CASE WHEN k % 2 = 1 THEN 'stop' END AS finish_reason,
    CASE WHEN k > 0 AND k % 2 = 0 THEN 'search' END AS tool_name,
    CASE WHEN k > 0 AND k % 2 = 0 THEN substr(md5(concat(hash(i + k) % 50)), 1, 16) END AS tool_arguments_hash,
    'support' AS agent_name,
    user_id,
    '/chat' AS route,
    '2.1' AS release,
    cohort,
    TRUE AS is_sampled,
    0 AS dropped_attributes,
    map(['server.address'], ['api.example.com']) AS attributes
FROM traces, range(8) AS places(k)
"""
EVALUATIONS = """
FROM no_evaluations UNION ALL BY NAME SELECT
    trace_id,
    'task_reward' AS name,
    '1' AS version,
    hash(i * 29) % 100 < 95 AS passed,
    'code' AS source,
    start_ns + duration_ns AS time_unix_ns,
    start_ns + duration_ns AS received_unix_ns
FROM traces WHERE hash(i * 31) % 2 = 0
"""


def main() -> None:
    """Measure, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=1_000_000, help="spans in the lake")
    parser.add_argument(
        "--lake", type=Path, help="keep the lake in this folder, and use one that is there; a temporary one by default"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lake = options.lake or Path(folder)
        if not lake.exists() or not any(lake.iterdir()):
            _fill(lake, options.spans)
        rows = _measure(lake)
    _report(rows, options.spans)


def _fill(lake: Path, spans: int) -> None:
    files = max(1, min(spans // SPANS_PER_FILE, MOST_FILES))
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        made = [
            pool.submit(_fill_files, lake, spans, files, range(worker, files, workers)) for worker in range(workers)
        ]
    for one in made:
        one.result()


def _fill_files(lake: Path, spans: int, files: int, numbers: Iterable[int]) -> None:
    traces = spans // SPANS_PER_TRACE
    connection = duckdb.connect(config={"threads": 1})
    for name, columns in (("spans", SPAN_COLUMNS), ("evaluations", EVALUATION_COLUMNS)):
        connection.from_arrow(arrow_schema(columns).empty_table()).create(f"no_{name}")
    for number in numbers:
        bounds = {"start": number * traces // files, "stop": (number + 1) * traces // files}
        connection.execute(TRACES, {**bounds, "traces": traces, "first_ns": FIRST_NS, "extent_ns": DAYS * DAY_NS})
        _write(connection, SPANS, SPAN_COLUMNS, landing_folder(lake, LakeTable.SPANS), number)
        _write(connection, EVALUATIONS, EVALUATION_COLUMNS, landing_folder(lake, LakeTable.EVALUATIONS), number)


def _write(
    connection: duckdb.DuckDBPyConnection, query: str, columns: tuple[Column, ...], folder: Path, number: int
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = connection.sql(query).to_arrow_table().cast(arrow_schema(columns))
    pq.write_table(table, folder / f"{number:013d}-1-{number:012x}.parquet", compression="zstd", compression_level=1)


def _measure(lake: Path) -> list[dict[str, Any]]:
    store = Store(lake)
    rows = [_timed("facts and rollups from nothing", lambda: _open(store))]
    rows[0]["peak_memory_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    facts = sum(path.stat().st_size for path in (lake / "derived").glob("*/facts-*.parquet"))
    rows[0]["bytes_a_trace_fact"] = round(facts / sum(row.traces for row in list_cohorts(store, Selection())), 1)
    asked: list[tuple[str, Callable[[], object]]] = [
        ("merging of parts, beside readers", store.tend),
        ("session, unchanged lake", lambda: _open(store)),
        ("session of a new process", lambda: _open(Store(lake))),
        ("models", lambda: list_models(store)),
        ("cohorts", lambda: list_cohorts(store, Selection())),
        ("error_rate by hour", lambda: metric_series(store, Selection(), metric="error_rate", step_s=3600)),
        ("50 newest failed traces", lambda: list_traces(store, Selection(), state="failed")),
    ]
    rows += [_timed(name, ask) for name, ask in asked]
    rows += measure_comparing(lake, FIRST_NS)
    for number in range(3):
        _add_segment(lake, number)
        rows.append(_timed(f"{NEW_SPANS} new spans, until seen", lambda: _open(store)))
    return rows


def _open(store: Store) -> None:
    with store.session() as session:
        session.rows("arms_v1", {"arm_by": "model"})


def _add_segment(lake: Path, number: int) -> None:
    """Add new traces, made of spans that are there, at the time of the middle of the lake."""
    folder = landing_folder(lake, LakeTable.SPANS)
    segments = sorted(folder.iterdir())
    table = pq.read_table(segments[len(segments) // 2]).slice(0, NEW_SPANS)
    renamed = [f"{trace_id[:24]}{number:08x}" for trace_id in table["trace_id"].to_pylist()]
    place = table.schema.get_field_index("trace_id")
    pq.write_table(table.set_column(place, table.schema.field(place), [renamed]), folder / f"9{number}.parquet")


def _timed(name: str, ask: Callable[[], object]) -> dict[str, Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    ask()
    return {
        "what": name,
        "wall_s": round(time.perf_counter() - wall, 3),
        "cpu_s": round(time.process_time() - cpu, 3),
    }


def _report(rows: list[dict[str, Any]], spans: int) -> None:
    for row in rows:
        more = "  ".join(f"{name} {value}" for name, value in row.items() if name not in ("what", "wall_s", "cpu_s"))
        print(f"{row['what']:<34}{_seconds(row['wall_s'])}{_seconds(row['cpu_s'])} CPU  {more}".rstrip())
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"queries-{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.write_text(json.dumps({"machine": platform.platform(), "python": sys.version, "spans": spans, "rows": rows}))
    print(f"\nwritten to {path}")


def _seconds(measured: float | None) -> str:
    return f"{'-':>9}  " if measured is None else f"{measured:>9.3f} s"


if __name__ == "__main__":
    main()
