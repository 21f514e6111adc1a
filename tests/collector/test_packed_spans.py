"""Spans as bytes: compiled code and Python are two ways to the same rows, whatever spans hold, and neither leaks."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, Status, StatusCode
from tests.collector.test_hostile_values import NAMES, SCALARS, SCOPES, VALUES

from tracecanary.collector.coded_spans import CodedGroup
from tracecanary.collector.column_values import Typed
from tracecanary.collector.normalise import Normaliser
from tracecanary.collector.packed_spans import PackedSpan, SpanPacker
from tracecanary.collector.shaped_spans import captured_span
from tracecanary.collector.span_tables import grouped_table

_packed = pytest.importorskip("tracecanary.collector._packed", reason="no C compiler when this was installed")

ENOUGH = 30  # for columns
KIND_OF_PACKED = 1  # the first byte of what compiled code has packed
Attributes = dict[str, Any]


class _Spans(SpanProcessor):
    def __init__(self) -> None:
        self.ended: list[Any] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def ended_spans(attributes: Sequence[Attributes], *, scope: str = "tests", **given: Any) -> list[Any]:
    """Return ended spans of the SDK, in one trace, that hold exactly these attributes: it would leave some out."""
    spans = _Spans()
    provider = TracerProvider(
        resource=Resource({"service.name": "shop"}), span_limits=SpanLimits(max_span_attributes=1_000)
    )
    provider.add_span_processor(spans)
    tracer = provider.get_tracer(scope, "0.1")
    with tracer.start_as_current_span("root", attributes={"a": 1}):
        for held in attributes:
            span: Any = tracer.start_span(**{"name": "chat", "kind": SpanKind.CLIENT, **given})
            span._attributes._dict.update(held)
            span.end()
    return spans.ended


def packed_by(packer: SpanPacker, spans: Sequence[Any]) -> list[PackedSpan]:
    """Return `spans` packed, once the packer knows their shapes."""
    for span in spans:
        packer.pack(span)
    return [packer.pack(span) for span in spans]


def rows_by(packer: SpanPacker, packed: Sequence[PackedSpan]) -> list[Any]:
    rows = grouped_table(*packer.unpack(packed), Normaliser()).to_pylist()
    return sorted(rows, key=lambda row: (row["span_id"], repr(row)))


def rows_of(spans: Sequence[Any], *, is_accelerated: bool) -> list[Any]:
    packer = SpanPacker(is_accelerated=is_accelerated)
    return rows_by(packer, packed_by(packer, spans))


def is_compiled(packed: PackedSpan) -> bool:
    return isinstance(packed, bytes) and packed[0] == KIND_OF_PACKED


def test_plain_spans_of_the_sdk_are_packed_by_compiled_code() -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7, "app.reasons": ("stop", "length")}

    packed = packed_by(SpanPacker(), ended_spans([attributes] * 3))

    assert [is_compiled(one) for one in packed] == [True] * 4


def test_without_compiled_code_nothing_is_packed_by_it() -> None:
    packer = SpanPacker(is_accelerated=False)

    packed = packed_by(packer, ended_spans([{"a": 1}] * 3))

    assert (packer.is_accelerated, [is_compiled(one) for one in packed]) == (False, [False] * 4)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_spans_give_the_same_rows_by_compiled_code_and_by_python(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES) | st.text(max_size=8), max_size=12, unique=True))
    held = data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, SCALARS | VALUES)), min_size=1, max_size=4))
    name = data.draw(st.sampled_from(["chat", "step 3", "execute_tool x", "ai.toolCall", "\ud800", "ü€😀", ""]))
    kind = data.draw(st.sampled_from(SpanKind))
    scope = data.draw(st.sampled_from(SCOPES))

    spans = ended_spans([held[number % len(held)] for number in range(ENOUGH)], scope=scope, name=name, kind=kind)

    assert repr(rows_of(spans, is_accelerated=True)) == repr(rows_of(spans, is_accelerated=False))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.fixed_dictionaries({"a": SCALARS, "b": st.lists(SCALARS, max_size=3)}), min_size=1, max_size=5))
def test_what_compiled_code_packs_it_unpacks_with_types_and_all(held: list[Attributes]) -> None:
    spans = ended_spans(held)
    by_python, compiled = SpanPacker(is_accelerated=False), SpanPacker()

    for span, packed in zip(spans, packed_by(compiled, spans), strict=True):
        groups, single = by_python.unpack([by_python.pack(span)])
        expected = [captured_span(group.shape, row) for group in groups for row in group.spans] + single
        groups, single = compiled.unpack([packed])
        assert repr([captured_span(group.shape, row) for group in groups for row in group.spans] + single) == repr(
            expected
        )


class _Text(str):
    __slots__ = ()


class _Number(int):
    pass


class _Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not comparable")

    def __hash__(self) -> int:
        raise RuntimeError("not hashable")


def _nested(depth: int) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value,)
    return value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(_Text("text"), id="a kind of text"),
        pytest.param(_Number(7), id="a kind of number"),
        pytest.param(2**63, id="more than 64 bits"),
        pytest.param(-(2**200), id="far less than 64 bits"),
        pytest.param(_Hostile(), id="an object that raises"),
        pytest.param((1, _Hostile()), id="a tuple of one that raises"),
        pytest.param(bytearray(b"x"), id="a buffer"),
        pytest.param({"a": {"b": [1]}}, id="a mapping"),
        pytest.param(_nested(5_000), id="deeply nested"),
        pytest.param("x" * 9_000, id="a long text"),
        pytest.param(("x" * 9_000,), id="a long text in a tuple"),
    ],
)
def test_what_is_not_plain_is_left_to_python(value: object) -> None:
    spans = ended_spans([{"app.value": value}] * ENOUGH)

    packed = packed_by(SpanPacker(), spans)

    assert [is_compiled(one) for one in packed[:-1]] == [False] * ENOUGH
    assert rows_of(spans, is_accelerated=True) == rows_of(spans, is_accelerated=False)


def test_failures_and_events_that_tell_something_are_left_to_python() -> None:
    [failed, *_] = ended_spans([{"a": 1}])
    [noted, *_] = ended_spans([{"a": 1}])
    [chatty, *_] = ended_spans([{"a": 1}])
    failed._status = Status(StatusCode.ERROR, "no")
    noted._events._dq.append(_event("exception"))
    chatty._events._dq.append(_event("gen_ai.first_chunk"))

    assert [is_compiled(packed_by(SpanPacker(), [span])[0]) for span in (failed, noted, chatty)] == [False, False, True]


def _event(name: str) -> Any:
    spans = _Spans()
    provider = TracerProvider()
    provider.add_span_processor(spans)
    span = provider.get_tracer("tests").start_span("event")
    span.add_event(name, {"exception.type": "ValueError"})
    span.end()
    return spans.ended[0].events[0]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda span: delattr(span, "_attributes"), id="no attributes"),
        pytest.param(lambda span: setattr(span, "_attributes", {"a": 1}), id="attributes of another kind"),
        pytest.param(lambda span: setattr(span, "_context", (0,) * 6), id="ids of zero"),
        pytest.param(lambda span: setattr(span, "_context", (1, -1, False, 0, None, True)), id="a negative id"),
        pytest.param(lambda span: setattr(span, "_context", (2**128, 1, False, 0, None, True)), id="a long id"),
        pytest.param(lambda span: setattr(span, "_context", (1, 1)), id="a short context"),
        pytest.param(lambda span: setattr(span, "_end_time", None), id="no end"),
        pytest.param(lambda span: setattr(span, "_end_time", 1.5), id="an end that is no whole number"),
        pytest.param(lambda span: setattr(span, "_start_time", -1), id="a negative start"),
        pytest.param(lambda span: setattr(span, "_name", None), id="no name"),
        pytest.param(lambda span: setattr(span, "_events", None), id="no events"),
        pytest.param(lambda span: setattr(span._attributes, "dropped", "many"), id="dropped attributes as text"),
        pytest.param(lambda span: span._attributes._dict.update({7: 1}), id="a name that is no text"),
    ],
)
def test_odd_spans_are_left_to_python_and_raise_nothing(change: Callable[[Any], None]) -> None:
    [span, *_] = ended_spans([{"a": 1}])
    native = _packed.Packer(kept_events=frozenset())
    assert native.learn(span._attributes._dict, span._kind, span._instrumentation_scope, span._resource, 0)
    assert native.pack(span) is not None

    change(span)

    assert native.pack(span) is None


def test_an_interrupt_while_packing_is_no_error_of_the_span() -> None:
    class Interrupted:
        @property
        def _context(self) -> object:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _packed.Packer(kept_events=frozenset()).pack(Interrupted())


def test_tracers_that_are_made_anew_at_every_request_are_one_scope() -> None:
    packer = SpanPacker()
    spans = ended_spans([{"a": 1}] * ENOUGH)
    for span in spans:
        span._instrumentation_scope = InstrumentationScope("tests", "0.1")

    packed = packed_by(packer, spans)
    groups, _ = packer.unpack(packed)

    assert [is_compiled(one) for one in packed] == [True] * (ENOUGH + 1)
    assert sorted(group.size for group in groups) == [1, ENOUGH]


def test_scopes_resources_and_kinds_of_the_same_names_stay_apart() -> None:
    packer = SpanPacker()
    spans = [
        *ended_spans([{"a": 1}] * ENOUGH, scope="one"),
        *ended_spans([{"a": 1}] * ENOUGH, scope="other"),
        *ended_spans([{"a": 1}] * ENOUGH, scope="other", kind=SpanKind.SERVER),
    ]

    groups, _ = packer.unpack(packed_by(packer, spans))

    shapes = {(group.shape.scope_name, group.shape.kind) for group in groups if group.size == ENOUGH}
    assert shapes == {("one", 3), ("other", 3), ("other", 2)}


def test_shapes_without_end_are_left_to_python_and_nothing_is_lost() -> None:
    packer = SpanPacker()
    spans = ended_spans([{f"name {number}": number} for number in range(1_500)])

    rows = rows_by(packer, packed_by(packer, spans))

    assert {dict(row["attributes"]).get(f"name {row_number}") for row_number, row in enumerate(rows)} <= {
        None,
        *map(str, range(1_500)),
    }
    assert len(rows) == 1_501


def test_values_that_repeat_are_read_once_each() -> None:
    packer = SpanPacker()
    spans = ended_spans([{"model": f"m{number % 3}", "n": number // 2, "same": "x"} for number in range(300)])

    groups, _ = packer.unpack(packed_by(packer, spans))
    [group] = [group for group in groups if group.size == 300]

    assert isinstance(group, CodedGroup)
    attributes = group.fields().attributes

    assert [distinct for distinct, _ in group.values] == [["m0", "m1", "m2"], [*range(150)], ["x"]]
    assert attributes.row(299) == {"model": "m2", "n": 149, "same": "x"}
    assert attributes["model"].rows()[:4] == ["m0", "m1", "m2", "m0"]


@pytest.mark.parametrize(
    ("values", "is_array"),
    [
        pytest.param([f"id {number}" for number in range(300)], True, id="texts"),
        pytest.param([number - 150 for number in range(300)], True, id="integers"),
        pytest.param([*(f"id {number}" for number in range(299)), "ü"], False, id="texts-beyond-ascii"),
        pytest.param([*(f"id {number}" for number in range(299)), 7], False, id="texts-and-an-integer"),
        pytest.param([number / 7 for number in range(300)], False, id="real-numbers"),
    ],
)
def test_values_that_mostly_differ_are_arrays_where_arrow_can_hold_them(values: list[Any], is_array: bool) -> None:
    packer = SpanPacker()

    groups, _ = packer.unpack(packed_by(packer, ended_spans([{"a": value} for value in values])))
    [group] = [group for group in groups if group.size == 300]

    column = group.fields().attributes["a"]  # type: ignore[union-attr]
    assert isinstance(column, Typed) == is_array
    assert column.rows() == values


@pytest.mark.parametrize("length", [0, 1, 40, 60, 70, -1])
def test_bytes_that_are_cut_off_are_an_error_and_no_crash(length: int) -> None:
    [packed, *_] = packed_by(SpanPacker(), ended_spans([{"a": "some text", "b": 7_000}]))
    assert isinstance(packed, bytes)
    cut = bytes([KIND_OF_PACKED]) + packed[1:][:length]

    with pytest.raises(ValueError, match="packed"):
        _packed.columns([cut])


def test_packing_and_unpacking_keep_no_memory_and_no_reference() -> None:
    packer = SpanPacker()
    spans = ended_spans([{"text": f"value {number}", "n": number, "list": ("a", number)} for number in range(200)])
    spans += ended_spans([{"text": _Hostile()}])
    watched = [spans[0]._attributes._dict["text"], spans[0]._resource, spans[0]._instrumentation_scope, spans[0]._kind]

    def use() -> None:
        groups, _ = packer.unpack(packed_by(packer, spans))
        for group in groups:
            list(group.spans)
        with pytest.raises(ValueError, match="packed"):
            _packed.columns([b"\x01", *packed_by(packer, spans[:3])])

    use()
    gc.collect()
    references = [sys.getrefcount(one) for one in watched]
    tracemalloc.start()
    use()
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(30):
        use()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert [sys.getrefcount(one) for one in watched] == references
    assert after - before < 20_000  # one leaked span in each round would be more


def test_a_packer_lets_go_of_what_it_has_learnt() -> None:
    [span, *_] = ended_spans([{"a": 1}])
    resource, references = span._resource, sys.getrefcount(span._resource)
    packer = SpanPacker()
    packer.pack(span)

    del packer
    gc.collect()

    assert sys.getrefcount(resource) == references


def test_threads_that_pack_and_unpack_at_a_time_lose_nothing() -> None:
    packer = SpanPacker()
    spans = [ended_spans([{f"name {shape}": number} for number in range(50)]) for shape in range(8)]
    packed: list[list[PackedSpan]] = [[] for _ in spans]

    def pack(number: int) -> None:
        for _ in range(20):
            packed[number] += [packer.pack(span) for span in spans[number]]
            packer.unpack(packed[number])

    threads = [threading.Thread(target=pack, args=(number,)) for number in range(len(spans))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    groups, single = packer.unpack([one for part in packed for one in part])
    assert sum(group.size for group in groups) + len(single) == 8 * 20 * 51
