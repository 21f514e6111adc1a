-- What is kept of each trace: its facts, when its spans lie, and how it was judged. A trace in which no model was asked
-- has a row too, without model, so that its late spans and its evaluations find it.
--   rollup_key     names everything that a question may tell traces apart by (rollup_keys); 60 bits of a digest
--   cluster_group  0..127, from a digest of what repeats: user, else conversation, else pair, else trace
--   first_span_ns, last_span_ns  within these its spans start; whole seconds, which compress, up to the end of 64 bits
-- grain: trace_id   params: $revision BIGINT
-- reads: dirty_traces, rederived_traces, trace_outlines, new_judgements, trace_facts, old_facts, outcomes
WITH extents AS (
    SELECT
        trace_id,
        first_start_unix_ns - first_start_unix_ns % 1000000000 AS first_span_ns,
        least(last_start_unix_ns - last_start_unix_ns % 1000000000, 9223372035854775808) + 999999999 AS last_span_ns
    FROM trace_outlines
)
SELECT
    $revision AS revision,
    coalesce(extents.first_span_ns, CASE WHEN rederived_traces.trace_id IS NULL THEN old_facts.first_span_ns END)
        AS first_span_ns,
    coalesce(extents.last_span_ns, CASE WHEN rederived_traces.trace_id IS NULL THEN old_facts.last_span_ns END)
        AS last_span_ns,
    CASE WHEN trace_facts.trace_id IS NOT NULL THEN CAST(concat('0x', substr(md5(concat_ws(chr(31),
        array_to_string(trace_facts.models, chr(30)),
        coalesce(trace_facts.cohort, chr(0)), coalesce(trace_facts.route, chr(0)), coalesce(trace_facts.release, chr(0)),
        coalesce(trace_facts.variant, chr(0)), coalesce(trace_facts.prompt, chr(0)),
        coalesce(trace_facts.service_name, chr(0)), coalesce(trace_facts.environment, chr(0)),
        coalesce(array_to_string(trace_facts.conventions, chr(30)), chr(0)),
        coalesce(trace_facts.instrumentation, chr(0)), trace_facts.step_source,
        trace_facts.retry_source, trace_facts.fallback_source, trace_facts.llm_calls > 0,
        trace_facts.pair_id IS NOT NULL,
        coalesce(trace_facts.cost_source, chr(0)),
        coalesce(array_to_string(trace_facts.unpriced_models, chr(30)), chr(0)),
        coalesce(array_to_string(map_keys(trace_facts.dimensions), chr(30)), chr(0)),
        coalesce(array_to_string(map_values(trace_facts.dimensions), chr(30)), chr(0))
    )), 1, 15)) AS BIGINT) END AS rollup_key,
    CASE WHEN trace_facts.trace_id IS NOT NULL THEN CAST(concat('0x', substr(md5(concat(
        'tracecanary', coalesce(
            'user ' || trace_facts.user_id, 'conversation ' || trace_facts.conversation_id,
            'pair ' || trace_facts.pair_id, 'trace ' || trace_facts.trace_id
        )
    )), 1, 2)) AS BIGINT) % 128 END AS cluster_group,
    dirty_traces.trace_id,
    trace_facts.* EXCLUDE (trace_id),
    outcomes.outcomes,
    outcomes.is_thumbs_down,
    outcomes.is_escalated
FROM dirty_traces
LEFT JOIN extents ON dirty_traces.trace_id = extents.trace_id
LEFT JOIN trace_facts ON dirty_traces.trace_id = trace_facts.trace_id
LEFT JOIN outcomes ON dirty_traces.trace_id = outcomes.trace_id
LEFT JOIN old_facts ON dirty_traces.trace_id = old_facts.trace_id
LEFT JOIN rederived_traces ON dirty_traces.trace_id = rederived_traces.trace_id
WHERE
    (
        extents.trace_id IS NOT NULL
        OR (rederived_traces.trace_id IS NULL AND old_facts.first_span_ns IS NOT NULL)
        OR dirty_traces.trace_id IN (SELECT trace_id FROM new_judgements)
    )
    AND (rederived_traces.trace_id IS NOT NULL OR old_facts.rollup_key IS NULL)
UNION ALL BY NAME -- only judged again: what is known of the spans stays
SELECT
    $revision AS revision,
    old_facts.* EXCLUDE (revision, outcomes, is_thumbs_down, is_escalated),
    outcomes.outcomes,
    outcomes.is_thumbs_down,
    outcomes.is_escalated
FROM old_facts
LEFT JOIN outcomes ON old_facts.trace_id = outcomes.trace_id
LEFT JOIN rederived_traces ON old_facts.trace_id = rederived_traces.trace_id
WHERE rederived_traces.trace_id IS NULL AND old_facts.rollup_key IS NOT NULL
ORDER BY start_unix_ns, trace_id
