"""What derives a lake anew: a change of the queries of deriving, and of no other."""

import re
from pathlib import Path

from tracecanary.analytics import derived_definition
from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.derived_definition import ANSWERING_QUERIES, definition
from tracecanary.analytics.derived_tables import ROW_TABLES, SUM_TABLES, rollup_query
from tracecanary.analytics.engine import query_texts


def test_a_changed_query_that_only_answers_derives_nothing_again() -> None:
    texts = query_texts()

    def changed(name: str) -> str:
        return definition(DerivationSettings(), texts={**texts, name: texts[name] + "-- changed"})

    assert changed("question_quantiles_v2") == definition(DerivationSettings())
    assert changed("facts_v3") != definition(DerivationSettings())


def test_no_step_of_deriving_runs_a_query_that_is_said_to_only_answer() -> None:
    own = Path(derived_definition.__file__)
    steps = "".join(path.read_text(encoding="utf-8") for path in own.parent.glob("derived_*.py") if path != own)
    named = set(re.findall(r'"(\w+_v\d+)"', steps))
    named |= {rollup_query(f"{table}{suffix}") for table in SUM_TABLES for suffix in ("", "_sum")}
    named |= {f"{state}_{table}_v1" for table in ROW_TABLES for state in ("live", "old", "carried")}

    assert named <= query_texts().keys()
    assert not named & ANSWERING_QUERIES
    assert query_texts().keys() >= ANSWERING_QUERIES
