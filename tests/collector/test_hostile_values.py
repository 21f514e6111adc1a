"""Whatever attributes hold, a row is made, it can be stored, and it takes bounded time."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.collector.test_normalise import row_of

from tracecanary.collector.coercion import MAX_NAME_LENGTH, to_hash
from tracecanary.collector.conventions import CONTEXT_COLUMNS, CONVENTIONS, Source
from tracecanary.collector.documents import MAX_JSON_LENGTH, parse_document, read_path
from tracecanary.collector.segments import write_segment
from tracecanary.schema import SPAN_COLUMNS, LakeTable

SCOPES = ["", "litellm", "logfire.openai", "pydantic-ai", "gcp.vertex.agent", "traceai_openai", "ai", "strands"]
NAMES = sorted(
    {
        (item.attribute if isinstance(item, Source) else item).replace("*", "openai")
        for columns in (CONTEXT_COLUMNS, *(convention.columns for convention in CONVENTIONS))
        for sources in columns.values()
        for item in sources
    }
    | {name for convention in CONVENTIONS for name in convention.kind_from}
    | {
        "error.code",
        "http.status_code",
        "error.message",
        "feature_flag.key",
        "tag.tags",
        "app.own",
        "langfuse.observation.completion_start_time",
    }
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]), max_size=3)
    | st.binary(max_size=20)
    | st.sampled_from(
        [
            "[" * 500,
            '{"model": ' * 200,
            "{'a': 1",
            "(" * 500,
            "-" * 500 + "1",
            '"\\ud800"',
            "{'a': [None]}",
            "1" * 5_000,
            '{"model": {"model": []}}',
            '{"additional_headers": 7}',
            "[Scrubbed due to 'x']",
            "[1, 2]",
            "9" * 400,
            "1e999",
        ]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUES, max_size=12)
EVENT_NAMES = [
    "exception",
    "gen_ai.choice",
    "gen_ai.fallback",
    "feature_flag.evaluation",
    "First Token Stream Event",
    "x",
]
EVENTS = st.lists(
    st.tuples(st.sampled_from(EVENT_NAMES), ATTRIBUTES | st.dictionaries(st.just("exception.type"), SCALARS)),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(ATTRIBUTES, EVENTS, st.sampled_from(SCOPES), st.sampled_from([0, 1, 2]))
def test_any_attributes_give_a_row_of_the_right_types(
    attributes: dict[str, Any], events: list[Any], scope: str, status: int
) -> None:
    row = row_of(attributes, events=tuple(events), scope_name=scope, status_code=status, resource=attributes)

    for column in SPAN_COLUMNS:
        value = row[column.name]
        expected: dict[str, Any] = {"string": str, "int64": int, "double": float, "bool": bool}
        if column.name != "attributes" and value is not None:
            assert type(value) is expected[column.type.value]
            assert not isinstance(value, str) or len(value) <= MAX_NAME_LENGTH
    assert all(isinstance(text, str) for item in row["attributes"].items() for text in item)


@settings(max_examples=30, deadline=None)
@given(attributes=ATTRIBUTES)
def test_any_row_can_be_stored(tmp_path_factory: pytest.TempPathFactory, attributes: dict[str, Any]) -> None:
    row = row_of(attributes, resource=attributes)
    values = tuple(list(row["attributes"].items()) if name == "attributes" else value for name, value in row.items())

    path: Path = write_segment(tmp_path_factory.mktemp("lake"), LakeTable.SPANS, SPAN_COLUMNS, [values])

    assert path.exists()


@settings(max_examples=300, deadline=None)
@given(VALUES | st.text(st.sampled_from("{}[]()'\"\\:,-1aNone \n")))
def test_any_text_is_parsed_or_is_none(value: Any) -> None:
    read_path(parse_document(value), ("a", 0, "b"))


@pytest.mark.parametrize(
    ("text", "document"),
    [
        ('{"a": [1, null, true]}', {"a": [1, None, True]}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('"CHAT_MODEL"', "CHAT_MODEL"),
        ("{'a': 'b', 'c': None, 'd': True}", {"a": "b", "c": None, "d": True}),
        ("{'a': 'None or True'}", {"a": "None or True"}),
        ("{'a': \"it's\"}", {"a": "it's"}),
        ("{'a': (1, 2)}", {"a": (1, 2)}),
        ("('x', 1)", ("x", 1)),
        ("plain", None),
        ("", None),
        ("{", None),
        ("__import__('os')", None),
        ("[__import__('os')]", None),
    ],
)
def test_documents_are_json_or_python_literals(text: str, document: object) -> None:
    assert parse_document(text) == document


def test_model_of_a_request_that_is_too_long_is_its_first_value() -> None:
    request = '{"model": "gpt-x", "messages": ["' + "x" * MAX_JSON_LENGTH + '"]}'

    assert parse_document(request) == {"model": "gpt-x"}
    assert parse_document('{"messages": ["' + "x" * MAX_JSON_LENGTH + '"], "model": "gpt-x"}') is None


@pytest.mark.parametrize(
    "value",
    [
        "[" * 1_000_000,
        "{" * 1_000_000,
        "x" * 1_000_000,
        "1" * 1_000_000,
        '"' * 1_000_000,
        [0.5] * 1_000_000,
        " " * 1_000_000,
    ],
    ids=lambda value: str(value[:1]),
)
def test_value_of_a_megabyte_costs_bounded_time(value: object) -> None:
    attributes = dict.fromkeys([*NAMES, "openinference.span.kind"], value)
    started = time.process_time()

    row_of(attributes, status_code=2, events=(("exception", {"exception.type": value, "exception.message": value}),))

    assert time.process_time() - started < 2.0


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    arguments=st.dictionaries(st.text(max_size=4), JSON_VALUES, min_size=1, max_size=4),
    after=st.sampled_from(["", " ", "\n\t"]),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" , ", "\n:\t")]),
)
@settings(max_examples=100, deadline=None)
def test_arguments_have_the_hash_of_their_sorted_json(
    arguments: dict[str, Any], after: str, separators: tuple[str, str]
) -> None:
    sorted_json = json.dumps(arguments, sort_keys=True)
    expected = hashlib.blake2b(sorted_json.encode(), digest_size=8).hexdigest()

    text = json.dumps(dict(reversed(arguments.items())), separators=separators) + after

    assert to_hash(text) == to_hash(arguments) == expected
