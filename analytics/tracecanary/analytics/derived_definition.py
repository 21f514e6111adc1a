"""What decides the rows that are derived from a lake. Where it changes, everything is derived again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tracecanary.analytics.config import DerivationSettings
from tracecanary.analytics.engine import query_texts
from tracecanary.schema import SCHEMA_VERSION

# Queries that only read what is derived, or the lake itself. They are named, not those of deriving: a query that
# somebody forgets to name here derives lakes once too often, and never leaves rows of an older one in place.
ANSWERING_QUERIES = frozenset(
    {
        "arms_v1",
        "blocks_of_evaluators_v1",
        "blocks_of_group_histograms_v1",
        "blocks_of_groups_v1",
        "blocks_of_histograms_v1",
        "blocks_of_measures_v1",
        "blocks_of_tails_v1",
        "blocks_of_tools_v1",
        "clusters_by_day_v1",
        "cohorts_v3",
        "compacted_evaluations_v1",
        "compacted_spans_v1",
        "compared_traces_v1",
        "cost_gaps_v1",
        "hours_of_keys_v1",
        "judged_outcomes_v1",
        "known_feedback_v1",
        "model_traces_v1",
        "models_v3",
        "question_keys_v1",
        "question_metric_values_v2",
        "question_pairs_v1",
        "question_quantiles_v2",
        "question_tails_v2",
        "question_times_v1",
        "question_traces_v1",
        "rolled_between_v2",
        "seen_models_v1",
        "series_hours_v1",
        "series_v1",
        "spans_v1",
        "tool_sequences_v1",
        "trace_list_v1",
        "trace_spans_v1",
        "trajectory_traces_v1",
        "trajectory_v2",
        "unmatched_evaluations_v1",
    }
)


def definition(settings: DerivationSettings, *, texts: Mapping[str, str] | None = None) -> str:
    """Name what decides derived rows: the queries of deriving, the columns, and settings. 16 hex digits.

    `texts` are those of all queries by their names; of the files by default.
    """
    deriving = [text for name, text in (texts or query_texts()).items() if name not in ANSWERING_QUERIES]
    parts = [str(SCHEMA_VERSION), *deriving, settings.fingerprint]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()
