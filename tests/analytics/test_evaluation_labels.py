"""Labels mean the same to those who write evaluations and to those who read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.analytics.lake import write_evaluations

from tracecanary.analytics.store import Store
from tracecanary.collector.passing import FAILING_LABELS, PASSING_LABELS, derive_passed

LABELS = sorted({*PASSING_LABELS, *FAILING_LABELS} | {"meh", "Passed", "INCORRECT", "warn"})


def test_a_label_that_readers_judge_by_is_judged_alike_where_it_is_written(tmp_path: Path) -> None:
    write_evaluations(
        tmp_path,
        [{"trace_id": f"t{number}", "name": "tone", "label": label} for number, label in enumerate(LABELS)],
    )

    with Store(tmp_path).session() as session:
        trace_passed = {row["trace_id"]: not row["has_failed"] for row in session.rows("trace_evaluations_v1")}

    for number, label in enumerate(LABELS):
        read = trace_passed.get(f"t{number}")
        if read is not None:
            assert derive_passed(label=label) is read, label
    assert {"t0", "t1"} <= set(trace_passed)


@pytest.mark.parametrize("label", ["meh", "warn"])
def test_a_label_that_nobody_knows_stays_unscored(label: str) -> None:
    assert derive_passed(label=label) is None
