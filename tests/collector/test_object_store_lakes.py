"""A lake on an object store: what was journaled arrives there, whatever happens to the store or to the process."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from tests.collector.remote import end_spans, kill_application, spooled_files, stored, stored_names, traced, wait_until
from tests.object_store import ObjectStore

from tracecanary.collector import CanarySpanExporter
from tracecanary.schema import ConfigurationError


@pytest.fixture
def spool(object_store: ObjectStore) -> Path:
    return Path(os.environ["TRACECANARY_SPOOL"])


def test_spans_are_stored_as_in_a_folder(object_store: ObjectStore, spool: Path, tmp_path: Path) -> None:
    lake = object_store.new_lake()
    for target in (lake, str(tmp_path / "lake")):
        processor, tracer = traced(target)
        tracer.start_span("chat", start_time=1, attributes={"gen_ai.request.model": "m", "a": "b"}).end(5)
        assert processor.force_flush()
        assert processor.shutdown()

    (row,), (row_of_folder,) = stored(lake), stored(str(tmp_path / "lake"))

    ids = {"trace_id", "span_id"}
    assert {name: row[name] for name in row if name not in ids} == {
        name: row_of_folder[name] for name in row_of_folder if name not in ids
    }
    assert spooled_files(spool) == []


def test_shutdown_stores_what_waits(object_store: ObjectStore) -> None:
    lake = object_store.new_lake()
    processor, tracer = traced(lake)
    end_spans(tracer, "a", "b")

    assert processor.shutdown()

    assert stored_names(lake) == ["a", "b"]


def test_sealed_spans_are_stored_without_a_flush(object_store: ObjectStore) -> None:
    lake = object_store.new_lake()
    processor, tracer = traced(lake, flush_interval_s=0.05, seal_interval_s=0.1)
    end_spans(tracer, "a")

    wait_until(lambda: stored_names(lake) == ["a"])

    processor.shutdown()


def test_nothing_is_lost_while_the_store_is_out_of_reach(
    object_store: ObjectStore, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = object_store.new_lake()
    processor, tracer = traced(lake, flush_interval_s=0.05, seal_interval_s=0.1)
    end_spans(tracer, "before")
    assert processor.force_flush()

    object_store.stop()
    try:
        end_spans(tracer, "during")
        assert not processor.force_flush()
        end_spans(tracer, "later")
        assert not processor.force_flush()
        assert "Check endpoint_override and the network. 1 rows wait in" in caplog.text
        assert spooled_files(spool) != []
    finally:
        object_store.start()

    assert processor.force_flush()
    assert stored_names(lake) == ["before", "during", "later"]
    assert spooled_files(spool) == []
    assert processor.shutdown()
    assert processor.dropped == {}


def test_a_store_that_is_back_is_found_without_a_flush(object_store: ObjectStore) -> None:
    lake = object_store.new_lake()
    processor, tracer = traced(lake)
    object_store.stop()
    try:
        end_spans(tracer, "during")
        assert not processor.force_flush()
    finally:
        object_store.start()

    wait_until(lambda: stored_names(lake) == ["during"])

    processor.shutdown()


def test_what_a_killed_application_left_is_stored_by_the_next(object_store: ObjectStore, spool: Path) -> None:
    lake = object_store.new_lake()
    object_store.stop()
    try:
        kill_application(lake, "a", "b")
        assert spooled_files(spool) != []
    finally:
        object_store.start()

    processor, tracer = traced(lake)
    end_spans(tracer, "c")
    assert processor.shutdown()

    assert stored_names(lake) == ["a", "b", "c"]
    assert spooled_files(spool) == []


def test_a_process_that_ends_during_an_outage_leaves_its_spans_and_says_so(
    object_store: ObjectStore, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = object_store.new_lake()
    object_store.stop()
    try:
        processor, tracer = traced(lake)
        end_spans(tracer, "a")
        assert not processor.shutdown()
        assert "1 spans stay in the journal" in caplog.text
        assert len(spooled_files(spool)) == 1
    finally:
        object_store.start()

    later, _ = traced(lake)
    end_spans(_, "b")
    assert later.shutdown()
    assert stored_names(lake) == ["a", "b"]


def test_a_bucket_that_is_missing_is_named_and_used_once_it_is_there(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    lake = object_store.lake("made-later")
    processor, tracer = traced(lake)
    end_spans(tracer, "a")
    assert not processor.force_flush()
    assert "s3://made-later/team/lake" in caplog.text
    assert "Make the bucket" in caplog.text

    object_store.make_bucket("made-later")

    assert processor.force_flush()
    assert stored_names(lake) == ["a"]
    processor.shutdown()


def test_wrong_credentials_are_told_without_showing_them(
    object_store: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    lake = object_store.new_lake() + "&access_key=unknown&secret_key=very-secret"
    processor, tracer = traced(lake)
    end_spans(tracer, "a")
    with object_store.checking_credentials():
        assert not processor.force_flush()

    assert "Check the credentials" in caplog.text
    assert "very-secret" not in caplog.text
    assert processor.shutdown()


def test_what_does_not_fit_into_the_journal_is_counted(object_store: ObjectStore) -> None:
    lake = object_store.new_lake()
    processor, tracer = traced(lake, max_journal_bytes=1, max_pending_spans=2, canary_reserve=0.0)
    object_store.stop()
    try:
        for name in "abcde":
            end_spans(tracer, name)
            processor.force_flush(200)
    finally:
        object_store.start()

    wait_until(processor.force_flush)
    assert stored_names(lake) == ["a", "b", "c"]
    assert processor.dropped == {"queue_full": 2}
    processor.shutdown()


def test_two_writers_share_a_lake(object_store: ObjectStore) -> None:
    lake = object_store.new_lake()
    writers = [traced(lake, flush_interval_s=0.02, seal_interval_s=0.05) for _ in range(2)]

    def write(number: int) -> None:
        processor, tracer = writers[number]
        for burst in range(5):
            end_spans(tracer, *[f"{number}-{burst}-{span}" for span in range(20)])
            assert processor.force_flush()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(stored_names(lake)) == len(set(stored_names(lake))) == 200
    assert all(processor.shutdown() for processor, _ in writers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform can't fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_stores_its_own_spans(object_store: ObjectStore) -> None:
    lake = object_store.new_lake()
    processor, tracer = traced(lake)
    end_spans(tracer, "parent")
    assert processor.force_flush()

    child = os.fork()
    if child == 0:
        end_spans(tracer, "child")
        os._exit(0 if processor.force_flush() else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert stored_names(lake) == ["child", "parent"]
    processor.shutdown()


def test_exporter_stores_too(object_store: ObjectStore) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    lake = object_store.new_lake()
    exporter = CanarySpanExporter(lake)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    end_spans(provider.get_tracer("tests"), "a", "b")

    assert exporter.force_flush()

    assert stored_names(lake) == ["a", "b"]
    provider.shutdown()


def test_spool_can_be_given(object_store: ObjectStore, tmp_path: Path) -> None:
    object_store.stop()
    try:
        processor, tracer = traced(object_store.lake("any"), spool=tmp_path / "spool")
        end_spans(tracer, "a")
        assert not processor.shutdown()
    finally:
        object_store.start()

    assert [path.parent.name for path in spooled_files(tmp_path / "spool")] == ["spans"]


def test_unknown_option_is_refused(object_store: ObjectStore, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'regoin'"):
        traced("s3://bucket/lake?regoin=eu-west-1")
