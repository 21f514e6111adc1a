-- What one pass over the spans tells of each trace: mostly, that it needs no closer look.
--   ids, bearing, parents  sets of span ids (all; of spans that ask a model or bear tokens; of parents), each a bit of 62
--              that a digest chooses, and again by another digest. Where a set has as many bits as there are spans, none
--              was delivered twice; where two sets don't meet, they have no span in common
--   is_telling, is_asked_by_agents, is_told_by_several  see intricate_traces_v1
--   may_be_torn  not all parents are known to be there: that is known where the one parent of all others is the root
-- grain: trace_id   params: none   reads: landing_spans
SELECT
    trace_id,
    count(*) AS spans,
    min(start_unix_ns) AS first_start_unix_ns,
    max(start_unix_ns) AS last_start_unix_ns,
    min(parent_span_id) IS NOT NULL
    AND (
        min(parent_span_id) != max(parent_span_id)
        OR max(CASE WHEN parent_span_id IS NULL THEN span_id END) IS DISTINCT FROM min(parent_span_id)
    ) AS may_be_torn,
    bit_or(id_bit) AS ids,
    bit_or(other_id_bit) AS other_ids,
    bit_or(CASE WHEN bears THEN id_bit END) AS bearing,
    bit_or(CASE WHEN bears THEN other_id_bit END) AS other_bearing,
    bit_or(parent_bit) AS parents,
    bit_or(other_parent_bit) AS other_parents,
    max(
        CASE
            WHEN kind IN ('attempt', 'evaluator')
                OR (kind = 'llm' AND status = 'error')
                OR retry_count IS NOT NULL
                OR fallback_used IS NOT NULL
                OR fallback_from IS NOT NULL
                OR parent_span_id = span_id
                OR is_marked
                THEN 1
            ELSE 0
        END
    ) = 1 AS is_telling,
    max(CASE WHEN kind = 'agent' THEN asked_model END) IS NOT NULL
    AND max(CASE WHEN kind = 'llm' THEN asked_model END) IS NULL AS is_asked_by_agents,
    coalesce(min(scope_digest) != max(scope_digest), FALSE) AS is_told_by_several
FROM (
    SELECT
        digested.*,
        CAST(1 AS BIGINT) << CAST(id_digest % 62 AS INTEGER) AS id_bit,
        CAST(1 AS BIGINT) << CAST((id_digest >> 32) % 62 AS INTEGER) AS other_id_bit,
        CASE WHEN parent_span_id IS NOT NULL THEN CAST(1 AS BIGINT) << CAST(parent_digest % 62 AS INTEGER) END
            AS parent_bit,
        CASE WHEN parent_span_id IS NOT NULL THEN CAST(1 AS BIGINT) << CAST((parent_digest >> 32) % 62 AS INTEGER) END
            AS other_parent_bit
    FROM (
        SELECT
            trace_id,
            span_id,
            parent_span_id,
            start_unix_ns,
            kind,
            status,
            retry_count,
            fallback_used,
            fallback_from,
            attributes['pydantic_ai.model_request.attempt'] IS NOT NULL AS is_marked,
            CASE WHEN kind IN ('agent', 'llm') THEN coalesce(model, attributes['gen_ai.request.model']) END
                AS asked_model,
            kind = 'llm' OR input_tokens IS NOT NULL OR output_tokens IS NOT NULL AS bears,
            CASE WHEN kind IN ('llm', 'embedding') AND scope_name IS NOT NULL THEN hash(scope_name) END
                AS scope_digest,
            hash(span_id) AS id_digest,
            hash(parent_span_id) AS parent_digest
        FROM landing_spans
    ) AS digested
) AS marked
GROUP BY trace_id
