from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.object_store import ObjectStore

from tracecanary.schema import lake_storage, local_copies, parse_file_lake
from tracecanary.schema.config import CacheSettings

KILOBYTE = b"x" * 1_000


def kept(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.glob("*/files/**/*") if path.is_file())


def test_files_of_a_folder_are_used_where_they_are(tmp_path: Path) -> None:
    assert local_copies(tmp_path).lease(["a/b"]).paths == (tmp_path / "a" / "b",)


def test_copy_is_made_once(object_store: ObjectStore, tmp_path: Path) -> None:
    lake = parse_file_lake(object_store.new_lake())
    lake_storage(lake).publish("landing/a", KILOBYTE)
    settings = CacheSettings(folder=tmp_path)
    with_copies = local_copies(lake, settings).lease(["landing/a"])
    lake_storage(lake).delete("landing/a")

    again = local_copies(lake, settings).lease(["landing/a"])

    assert with_copies.paths[0].read_bytes() == again.paths[0].read_bytes() == KILOBYTE


def test_least_recently_used_copies_are_dropped_beyond_the_limit(object_store: ObjectStore, tmp_path: Path) -> None:
    lake = parse_file_lake(object_store.new_lake())
    for name in "abcd":
        lake_storage(lake).publish(name, KILOBYTE)
    copies = local_copies(lake, CacheSettings(folder=tmp_path, max_bytes=2_000))
    for name in "abacad":
        copies.lease([name]).close()

    assert kept(tmp_path) == ["a", "d"]


def test_what_is_held_stays_though_its_copy_is_dropped(object_store: ObjectStore, tmp_path: Path) -> None:
    lake = parse_file_lake(object_store.new_lake())
    for name in "ab":
        lake_storage(lake).publish(name, KILOBYTE)
    copies = local_copies(lake, CacheSettings(folder=tmp_path, max_bytes=0))

    first = copies.lease(["a"])
    second = copies.lease(["a", "b"])
    first.close()

    assert kept(tmp_path) == []
    assert [path.read_bytes() for path in second.paths] == [KILOBYTE, KILOBYTE]
    second.close()
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


def test_links_of_a_killed_process_are_removed_by_the_next(object_store: ObjectStore, tmp_path: Path) -> None:
    url = object_store.new_lake()
    lake = parse_file_lake(url)
    lake_storage(lake).publish("a", KILOBYTE)
    script = (
        "import os, sys, pathlib\n"
        "from tracecanary.schema import local_copies, parse_file_lake\n"
        "from tracecanary.schema.config import CacheSettings\n"
        "settings = CacheSettings(folder=pathlib.Path(sys.argv[2]))\n"
        "lease = local_copies(parse_file_lake(sys.argv[1]), settings).lease(['a'])\n"
        "os._exit(len(lease.paths))\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, url, str(tmp_path)], check=False)
    assert killed.returncode == 1
    assert len(list(tmp_path.glob("*/in-use/*"))) == 1

    lease = local_copies(lake, CacheSettings(folder=tmp_path)).lease(["a"])

    assert list(tmp_path.glob("*/in-use/*")) == [lease.paths[0].parent]
