from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.object_store import ObjectStore

from tracecanary.schema import LakeError, LakeStorage, lake_storage, parse_file_lake


@pytest.fixture(params=["folder", "object-store"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> LakeStorage:
    if request.param == "folder":
        return lake_storage(tmp_path / "lake")
    store: ObjectStore = request.getfixturevalue("object_store")
    return lake_storage(parse_file_lake(store.new_lake()))


def names(storage: LakeStorage, folder: str, *, is_recursive: bool = False) -> list[str]:
    return [file.name for file in storage.files(folder, is_recursive=is_recursive)]


def test_published_files_are_listed_by_name_and_read(storage: LakeStorage) -> None:
    storage.publish("landing/spans/2.parquet", b"second")
    storage.publish("landing/spans/1.parquet", b"first")
    storage.publish("landing/evaluations/3.parquet", b"third")

    assert names(storage, "landing/spans") == ["landing/spans/1.parquet", "landing/spans/2.parquet"]
    assert [file.size_bytes for file in storage.files("landing/spans")] == [5, 6]
    assert names(storage, "landing") == []
    assert names(storage, "landing", is_recursive=True) == [
        "landing/evaluations/3.parquet",
        "landing/spans/1.parquet",
        "landing/spans/2.parquet",
    ]
    assert storage.read("landing/spans/2.parquet") == b"second"


def test_large_file_survives(storage: LakeStorage) -> None:
    contents = bytes(range(256)) * 64 * 1024  # 16 MiB: more than one part of an upload

    storage.publish("large", contents)

    assert storage.read("large") == contents


def test_absent_folder_has_no_files_and_an_absent_file_can_be_deleted(storage: LakeStorage) -> None:
    assert names(storage, "landing/spans") == []
    storage.delete("landing/spans/1.parquet")


def test_deleted_file_is_gone(storage: LakeStorage) -> None:
    storage.publish("landing/spans/1.parquet", b"first")

    storage.delete("landing/spans/1.parquet")

    assert names(storage, "landing/spans") == []
    with pytest.raises(LakeError, match="can't read"):
        storage.read("landing/spans/1.parquet")


def test_of_those_who_create_a_file_at_a_time_one_wins(storage: LakeStorage) -> None:
    won: list[bytes] = []

    def create(contents: bytes) -> None:
        if storage.create("manifests/1.json", contents):
            won.append(contents)

    rivals = [threading.Thread(target=create, args=(f"{number}".encode(),)) for number in range(8)]
    for rival in rivals:
        rival.start()
    for rival in rivals:
        rival.join()

    assert [storage.read("manifests/1.json")] == won
    assert names(storage, "manifests") == ["manifests/1.json"]


def test_missing_bucket_is_named(object_store: ObjectStore) -> None:
    storage = lake_storage(parse_file_lake(object_store.lake("absent-bucket")))

    with pytest.raises(LakeError, match=r"absent-bucket.*Make the bucket"):
        storage.publish("a", b"a")
    with pytest.raises(LakeError, match=r"absent-bucket.*Make the bucket"):
        storage.files("landing/spans")
    with pytest.raises(LakeError, match=r"absent-bucket.*Make the bucket"):
        storage.create("a", b"a")


def test_store_out_of_reach_is_an_error_and_works_when_it_is_back(object_store: ObjectStore) -> None:
    storage = lake_storage(parse_file_lake(object_store.new_lake()))
    storage.publish("a", b"a")

    object_store.stop()
    try:
        with pytest.raises(LakeError, match="Check endpoint_override and the network"):
            storage.publish("b", b"b")
        with pytest.raises(LakeError, match="Check endpoint_override and the network"):
            storage.files("")
    finally:
        object_store.start()

    assert names(storage, "") == ["a"]
