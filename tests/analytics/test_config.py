from __future__ import annotations

from pathlib import Path

import pytest

from tracecanary.analytics.config import CompactionSettings, Retention, read_compaction_settings
from tracecanary.schema import ConfigFileError, LakeTable, read_config_file

HOUR_MS = 3_600_000


def read(folder: Path, text: str) -> CompactionSettings:
    path = folder / "tracecanary.toml"
    path.write_text(text)
    file = read_config_file(path)
    settings = read_compaction_settings(file)
    file.check()
    return settings


def test_defaults_keep_everything(tmp_path: Path) -> None:
    assert read(tmp_path, "") == CompactionSettings()
    assert CompactionSettings().retention.kept_from_hour(now_ms=HOUR_MS) == {}


def test_what_the_file_says_is_taken(tmp_path: Path) -> None:
    settings = read(
        tmp_path,
        "[compaction]\nevery_s = 0\ngrace_s = 60\nsettle_s = 5\nmemory_mb = 100\n[retention]\nspans_days = 1.5\n",
    )

    assert settings == CompactionSettings(
        every_s=0, grace_s=60, settle_s=5, memory_bytes=100_000_000, retention=Retention(spans_days=1.5)
    )
    assert settings.retention.kept_from_hour(now_ms=40 * HOUR_MS) == {LakeTable.SPANS: 4}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[compaction]\nevery_s = -1", "[compaction] every_s is -1.0, but must be at least 0"),
        ("[compaction]\nmemory_mb = 5", "memory_mb is 5.0, but must be at least 64"),
        (
            "[retention]\nspans_days = 30\nfacts_days = 20",
            "facts_days is 20.0, but must be at least spans_days, which is 30: it is derived from them",
        ),
        (
            "[retention]\nrollups_days = 20",
            "rollups_days is 20.0, but needs facts_days, too: what it is computed from can't",
        ),
        ("[retention]\nspans_days = 0", "spans_days is 0.0, but must be greater than 0; leave it out to keep them"),
        ("[retention]\ndays = 7", "[retention] days is no key of this section"),
    ],
)
def test_what_can_not_work_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigFileError) as caught:
        read(tmp_path, text)

    assert problem.split("] ")[-1] in str(caught.value)
