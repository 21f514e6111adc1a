"""The service's own figures, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tracecanary.analytics.compaction import CompactionReport
from tracecanary.collector.intake import Intake

METRICS_TYPE = CONTENT_TYPE_LATEST
_COMPACTION_BUCKETS_S = (0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0, 1800.0)
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ServiceMetrics:
    """Figures of one service: a registry of its own, so that two services in a process are told apart."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._request_seconds = Histogram(
            "tracecanary_request_seconds",
            "How long requests took.",
            ("endpoint", "status"),
            registry=self._registry,
            buckets=_BUCKETS_S,
        )

        self._compaction_seconds = Histogram(
            "tracecanary_compaction_seconds",
            "How long compactions of the lake took.",
            ("outcome",),
            registry=self._registry,
            buckets=_COMPACTION_BUCKETS_S,
        )
        self._compacted_files = Counter(
            "tracecanary_compacted_files",
            "Files that compactions adopted, merged, wrote, expired or deleted.",
            ("what",),
            registry=self._registry,
        )
        self._skipped_files = Gauge(
            "tracecanary_compaction_skipped_files",
            "Damaged files that the last compaction left out.",
            registry=self._registry,
        )

    def watch(self, intake: Intake) -> None:
        """Report on `intake`, too."""
        self._registry.register(_IntakeFigures(intake))

    def observe(self, *, endpoint: str, status: int, seconds: float) -> None:
        """Count a request to the path template `endpoint`."""
        self._request_seconds.labels(endpoint, str(status)).observe(seconds)

    def observe_compaction(self, report: CompactionReport | None, seconds: float) -> None:
        """Count a compaction of the lake; None for one that failed."""
        self._compaction_seconds.labels("failed" if report is None else "done").observe(seconds)
        if report is not None:
            for what in ("adopted", "merged", "written", "expired", "deleted"):
                self._compacted_files.labels(what).inc(getattr(report, f"{what}_files"))
            self._skipped_files.set(len(report.skipped))

    def exposition(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _IntakeFigures(Collector):
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def collect(self) -> Iterable[Metric]:
        intake = self._intake
        yield _counter("tracecanary_accepted", "Rows that are on disk.", "table", intake.counts.accepted)
        yield _counter("tracecanary_rejected", "Rows that can't be stored.", "reason", intake.counts.rejected)
        yield _counter(
            "tracecanary_refused_requests", "Requests of which nothing was stored.", "reason", intake.counts.refused
        )
        for name, text, value in (
            ("tracecanary_waiting_bytes", "Bytes of requests that arrive or wait for the disk.", intake.reserved_bytes),
            ("tracecanary_journal_bytes", "Bytes that are safe, but not in segments yet.", intake.journal_bytes),
            ("tracecanary_lag_seconds", "How long the oldest row that readers can't see yet has waited.", intake.lag_s),
            ("tracecanary_storing", "Whether the journal took the last rows.", intake.is_storing),
            ("tracecanary_publishing", "Whether the lake took the last segment.", intake.is_publishing),
        ):
            yield GaugeMetricFamily(name, text, value=float(value))


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value, count in sorted(values.items()):
        family.add_metric((value,), count)
    return family
