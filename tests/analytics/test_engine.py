from pathlib import Path

import numpy as np
import pyarrow as pa

from tracecanary.analytics.engine import Engine, EngineLimits


def test_what_does_not_fit_into_memory_goes_below_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    limits = EngineLimits(memory_bytes=60_000_000, threads=1, spill_folder=tmp_path / "derived" / "new" / "spill")
    noise = pa.table(
        {"number": np.random.default_rng(0).integers(2**62, size=10_000_000)}
    )  # 80 MB that do not compress

    with Engine(limits) as engine:
        engine.arrow_table("noise", noise)

        assert limits.spill_folder.is_dir()
        assert engine.count("noise") == 10_000_000
    assert not limits.spill_folder.exists()
