"""Manifests: what follows what, and reading whatever stands in a file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracecanary.schema import (
    Change,
    CompactionConflictError,
    GoneFile,
    LakeFile,
    LakeTable,
    Manifest,
    ManifestError,
    forgettable,
    manifest_from_json,
    manifest_to_json,
    next_manifest,
    sweepable,
)

NUMBERS = st.integers(-(2**63), 2**63 - 1)
FILES = st.builds(
    LakeFile,
    path=st.text(max_size=20),
    table=st.sampled_from(LakeTable),
    rows=NUMBERS,
    size_bytes=NUMBERS,
    hour=NUMBERS,
    min_unix_ns=NUMBERS,
    max_unix_ns=NUMBERS,
    schema_version=NUMBERS,
    made_unix_ms=NUMBERS,
    manifest=NUMBERS,
)
GONE = st.builds(GoneFile, path=st.text(max_size=20), gone_unix_ms=NUMBERS, manifest=NUMBERS)
MANIFESTS = st.builds(
    Manifest,
    number=st.integers(1, 10**10 - 1),
    files=st.lists(FILES, max_size=3).map(tuple),
    gone=st.lists(GONE, max_size=3).map(tuple),
    forgotten_through=NUMBERS,
    kept_from_hour=st.dictionaries(st.sampled_from(LakeTable), NUMBERS),
)


def file(name: str, hour: int = 1) -> LakeFile:
    return LakeFile(
        path=f"compacted/spans/{name}",
        table=LakeTable.SPANS,
        rows=1,
        size_bytes=1,
        hour=hour,
        min_unix_ns=0,
        max_unix_ns=0,
        schema_version=1,
        made_unix_ms=0,
        manifest=0,
    )


def after(base: Manifest, *, added: str = "", removed: tuple[str, ...] = (), now_ms: int = 0) -> Manifest:
    files = (file(added),) if added else ()
    return next_manifest(base, Change(added=files, removed=frozenset(removed)), now_ms=now_ms)


@given(MANIFESTS)
def test_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    assert manifest_from_json(manifest_to_json(manifest), number=manifest.number) == manifest


def test_what_is_removed_is_gone_and_what_is_added_says_since_when() -> None:
    first = after(Manifest(), added="a", removed=("landing/spans/1",), now_ms=5)
    second = after(first, added="b", removed=("compacted/spans/a",), now_ms=7)

    assert (second.number, [entry.path for entry in second.files]) == (2, ["compacted/spans/b"])
    assert [entry.manifest for entry in second.files] == [2]
    assert second.gone == (
        GoneFile(path="landing/spans/1", gone_unix_ms=5, manifest=1),
        GoneFile(path="compacted/spans/a", gone_unix_ms=7, manifest=2),
    )


@pytest.mark.parametrize("removed", ["landing/spans/1", "compacted/spans/a", "compacted/spans/never"])
def test_file_that_another_compaction_rewrote_is_a_conflict(removed: str) -> None:
    base = after(after(Manifest(), added="a", removed=("landing/spans/1",)), added="b", removed=("compacted/spans/a",))

    with pytest.raises(CompactionConflictError, match=f"rewritten by another compaction, such as {removed}"):
        after(base, added="c", removed=(removed,))


def test_gone_files_are_deleted_after_the_grace_period_and_forgotten_after_two() -> None:
    manifest = after(Manifest(), removed=("landing/spans/1", "landing/spans/2"), now_ms=100)

    assert sweepable(manifest, now_ms=109, grace_ms=10) == ()
    assert sweepable(manifest, now_ms=110, grace_ms=10) == ("landing/spans/1", "landing/spans/2")
    assert forgettable(manifest, present=(), now_ms=119, grace_ms=10) == frozenset()
    assert forgettable(manifest, present=("landing/spans/1",), now_ms=120, grace_ms=10) == {"landing/spans/2"}
    later = next_manifest(manifest, Change(), now_ms=120, forgotten={"landing/spans/2"})
    assert ([gone.path for gone in later.gone], later.forgotten_through) == (["landing/spans/1"], 1)
    assert after(later).forgotten_through == 1


def change(document: dict[str, Any], *keys: Any, value: Any) -> str:
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("number",), 2),
        (("number",), "1"),
        (("files",), None),
        (("files", 0, "rows"), "5"),
        (("files", 0, "rows"), True),
        (("files", 0, "table"), "logs"),
        (("files", 0), []),
        (("gone", 0, "path"), 3),
        (("kept_from_hour",), {"spans": "x"}),
    ],
)
def test_what_is_no_manifest_is_refused(keys: tuple[Any, ...], value: Any) -> None:
    document = json.loads(manifest_to_json(after(Manifest(), added="a", removed=("landing/spans/1",))))

    with pytest.raises(ManifestError, match="it is no manifest"):
        manifest_from_json(change(document, *keys, value=value), number=1)


def test_members_that_a_later_version_added_are_passed_over() -> None:
    manifest = after(Manifest(), added="a")
    document = json.loads(manifest_to_json(manifest))

    assert manifest_from_json(change(document, "files", 0, "later", value=1), number=1) == manifest


@given(st.binary(max_size=100) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_content_raises_anything_else(text: str | bytes) -> None:
    with pytest.raises(ManifestError):
        manifest_from_json(text, number=1)
