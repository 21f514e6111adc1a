-- What is kept of each trace: its facts, when its spans lie, and how it was judged. A trace in which no model was asked
-- has a row too, without model, so that its late spans and its evaluations find it.
--   rollup_key     names everything that a question may tell traces apart by (rollup_keys); 60 bits of a digest
--   cluster_group  0..127, from a digest of what repeats: user, else conversation, else pair, else trace
--   measures       values of own metrics, by name, in millionths
--   first_span_ns, last_span_ns  within these its spans start; whole seconds, which compress, up to the end of 64 bits
-- grain: trace_id   params: $revision BIGINT
-- reads: dirty_traces, rederived_traces, trace_outlines, close_traces, close_facts, ordinary_facts, new_judgements,
-- old_facts, outcomes, trace_measures
WITH told AS (
    SELECT
        trace_outlines.trace_id,
        trace_outlines.first_start_unix_ns,
        trace_outlines.last_start_unix_ns,
        close_facts.* EXCLUDE (trace_id)
    FROM trace_outlines
    INNER JOIN close_traces ON trace_outlines.trace_id = close_traces.trace_id
    LEFT JOIN close_facts ON trace_outlines.trace_id = close_facts.trace_id
    UNION ALL BY NAME
    SELECT ordinary_facts.* -- without a join, since most traces are here
    FROM ordinary_facts
    UNION ALL BY NAME
    SELECT trace_outlines.trace_id, trace_outlines.first_start_unix_ns, trace_outlines.last_start_unix_ns
    FROM trace_outlines
    LEFT JOIN close_traces ON trace_outlines.trace_id = close_traces.trace_id
    WHERE close_traces.trace_id IS NULL AND trace_outlines.llm_calls = 0
)
SELECT
    CAST($revision AS BIGINT) AS revision,
    told.first_start_unix_ns - told.first_start_unix_ns % 1000000000 AS first_span_ns,
    least(told.last_start_unix_ns - told.last_start_unix_ns % 1000000000, 9223372035854775808) + 999999999 AS last_span_ns,
    CASE WHEN told.models IS NOT NULL THEN CAST(concat('0x', substr(md5(concat_ws(chr(31),
        array_to_string(told.models, chr(30)),
        coalesce(told.cohort, chr(0)), coalesce(told.route, chr(0)), coalesce(told.release, chr(0)),
        coalesce(told.variant, chr(0)), coalesce(told.prompt, chr(0)),
        coalesce(told.service_name, chr(0)), coalesce(told.environment, chr(0)),
        coalesce(array_to_string(told.conventions, chr(30)), chr(0)),
        coalesce(told.instrumentation, chr(0)), told.step_source,
        told.retry_source, told.fallback_source, told.llm_calls > 0,
        told.pair_id IS NOT NULL,
        coalesce(told.cost_source, chr(0)),
        coalesce(array_to_string(told.unpriced_models, chr(30)), chr(0)),
        coalesce(array_to_string(map_keys(told.dimensions), chr(30)), chr(0)),
        coalesce(array_to_string(map_values(told.dimensions), chr(30)), chr(0))
    )), 1, 15)) AS BIGINT) END AS rollup_key,
    CASE WHEN told.models IS NOT NULL THEN CAST(concat('0x', substr(md5(concat(
        'tracecanary', coalesce(
            'user ' || told.user_id, 'conversation ' || told.conversation_id,
            'pair ' || told.pair_id, 'trace ' || told.trace_id
        )
    )), 1, 2)) AS BIGINT) % 128 END AS cluster_group,
    told.trace_id,
    told.* EXCLUDE (trace_id, first_start_unix_ns, last_start_unix_ns),
    CASE WHEN told.models IS NOT NULL THEN trace_measures.measures END AS measures,
    outcomes.outcomes,
    outcomes.is_thumbs_down,
    outcomes.is_escalated
FROM told
LEFT JOIN outcomes ON told.trace_id = outcomes.trace_id
LEFT JOIN trace_measures ON told.trace_id = trace_measures.trace_id
UNION ALL BY NAME -- judged, with no span that asks a model
SELECT
    CAST($revision AS BIGINT) AS revision,
    CASE WHEN rederived_traces.trace_id IS NULL THEN old_facts.first_span_ns END AS first_span_ns,
    CASE WHEN rederived_traces.trace_id IS NULL THEN old_facts.last_span_ns END AS last_span_ns,
    dirty_traces.trace_id,
    outcomes.outcomes,
    outcomes.is_thumbs_down,
    outcomes.is_escalated
FROM dirty_traces
LEFT JOIN trace_outlines ON dirty_traces.trace_id = trace_outlines.trace_id
LEFT JOIN outcomes ON dirty_traces.trace_id = outcomes.trace_id
LEFT JOIN old_facts ON dirty_traces.trace_id = old_facts.trace_id
LEFT JOIN rederived_traces ON dirty_traces.trace_id = rederived_traces.trace_id
WHERE
    trace_outlines.trace_id IS NULL
    AND (
        (rederived_traces.trace_id IS NULL AND old_facts.first_span_ns IS NOT NULL)
        OR dirty_traces.trace_id IN (SELECT trace_id FROM new_judgements)
    )
    AND (rederived_traces.trace_id IS NOT NULL OR old_facts.rollup_key IS NULL)
UNION ALL BY NAME -- only judged again: what is known of the spans stays
SELECT
    CAST($revision AS BIGINT) AS revision,
    old_facts.* EXCLUDE (revision, outcomes, is_thumbs_down, is_escalated),
    outcomes.outcomes,
    outcomes.is_thumbs_down,
    outcomes.is_escalated
FROM old_facts
LEFT JOIN outcomes ON old_facts.trace_id = outcomes.trace_id
LEFT JOIN rederived_traces ON old_facts.trace_id = rederived_traces.trace_id
WHERE rederived_traces.trace_id IS NULL AND old_facts.rollup_key IS NOT NULL
ORDER BY start_unix_ns, trace_id
