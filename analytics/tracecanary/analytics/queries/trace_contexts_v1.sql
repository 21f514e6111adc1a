-- What is said of each trace's surroundings: by its root, else by the earliest span that says it.
--   conventions, instrumentation  of its model calls: all conventions, and the scope of the earliest call that has one
-- Most traces say the same on every span, or nothing: these are looked up, the others compared span by span.
-- grain: trace_id   params: none   reads: spans, contexts, call_contexts
WITH said AS (
    SELECT
        trace_id,
        min(context_key) AS context_key,
        min(context_key) = max(context_key) AS is_same_context,
        min(call_key) AS call_key,
        coalesce(min(call_key) = max(call_key), TRUE) AS is_same_call_context,
        min(pair_id) AS pair_id,
        min(conversation_id) AS conversation_id,
        min(user_id) AS user_id,
        coalesce(min(pair_id) = max(pair_id), TRUE)
        AND coalesce(min(conversation_id) = max(conversation_id), TRUE)
        AND coalesce(min(user_id) = max(user_id), TRUE) AS is_same_user
    FROM (
        SELECT
            trace_id,
            pair_id,
            conversation_id,
            user_id,
            hash(cohort, route, release, variant, prompt_name, prompt_version, service_name, environment) AS context_key,
            CASE WHEN kind = 'llm' THEN hash(convention, scope_name) END AS call_key
        FROM spans
    ) AS keyed
    GROUP BY trace_id
),
sorted_out AS (
    SELECT
        said.trace_id,
        said.pair_id,
        said.conversation_id,
        said.user_id,
        contexts.cohort,
        contexts.route,
        contexts.release,
        contexts.variant,
        contexts.prompt_name,
        contexts.prompt_version,
        contexts.service_name,
        contexts.environment,
        call_contexts.convention,
        call_contexts.scope_name,
        said.is_same_context AND said.is_same_user AND contexts.context_key IS NOT NULL AS is_even,
        said.is_same_call_context AND (said.call_key IS NULL OR call_contexts.call_key IS NOT NULL) AS has_even_calls
    FROM said
    LEFT JOIN contexts ON said.context_key = contexts.context_key
    LEFT JOIN call_contexts ON said.call_key = call_contexts.call_key
),
placed AS (
    SELECT
        spans.*,
        -- Sorts like (is no root, start, span id); one text is compared faster than three values.
        concat(
            CASE WHEN spans.parent_span_id IS NULL THEN '0' ELSE '1' END,
            lpad(CAST(spans.start_unix_ns AS VARCHAR), 20, '0'), spans.span_id
        ) AS place
    FROM spans
    INNER JOIN sorted_out ON spans.trace_id = sorted_out.trace_id
    WHERE NOT sorted_out.is_even
),
uneven AS (
    SELECT
        trace_id,
        min_by(cohort, place) FILTER (WHERE cohort IS NOT NULL) AS cohort,
        min_by(route, place) FILTER (WHERE route IS NOT NULL) AS route,
        min_by(release, place) FILTER (WHERE release IS NOT NULL) AS release,
        min_by(variant, place) FILTER (WHERE variant IS NOT NULL) AS variant,
        min_by(pair_id, place) FILTER (WHERE pair_id IS NOT NULL) AS pair_id,
        min_by(concat_ws('@', prompt_name, prompt_version), place)
            FILTER (WHERE prompt_name IS NOT NULL OR prompt_version IS NOT NULL) AS prompt,
        min_by(conversation_id, place) FILTER (WHERE conversation_id IS NOT NULL) AS conversation_id,
        min_by(user_id, place) FILTER (WHERE user_id IS NOT NULL) AS user_id,
        min_by(service_name, place) FILTER (WHERE service_name IS NOT NULL) AS service_name,
        min_by(environment, place) FILTER (WHERE environment IS NOT NULL) AS environment
    FROM placed
    GROUP BY trace_id
),
uneven_calls AS (
    SELECT
        spans.trace_id,
        list(DISTINCT spans.convention ORDER BY spans.convention) FILTER (WHERE spans.convention IS NOT NULL)
            AS conventions,
        min_by(spans.scope_name, (spans.start_unix_ns, spans.span_id)) FILTER (WHERE spans.scope_name IS NOT NULL)
            AS instrumentation
    FROM spans
    INNER JOIN sorted_out ON spans.trace_id = sorted_out.trace_id
    WHERE NOT sorted_out.has_even_calls AND spans.kind = 'llm'
    GROUP BY spans.trace_id
)
SELECT
    sorted_out.trace_id,
    CASE WHEN sorted_out.is_even THEN sorted_out.cohort ELSE uneven.cohort END AS cohort,
    CASE WHEN sorted_out.is_even THEN sorted_out.route ELSE uneven.route END AS route,
    CASE WHEN sorted_out.is_even THEN sorted_out.release ELSE uneven.release END AS release,
    CASE WHEN sorted_out.is_even THEN sorted_out.variant ELSE uneven.variant END AS variant,
    CASE WHEN sorted_out.is_even THEN sorted_out.pair_id ELSE uneven.pair_id END AS pair_id,
    CASE
        WHEN NOT sorted_out.is_even THEN uneven.prompt
        WHEN sorted_out.prompt_name IS NOT NULL OR sorted_out.prompt_version IS NOT NULL
            THEN concat_ws('@', sorted_out.prompt_name, sorted_out.prompt_version)
    END AS prompt,
    CASE WHEN sorted_out.is_even THEN sorted_out.conversation_id ELSE uneven.conversation_id END AS conversation_id,
    CASE WHEN sorted_out.is_even THEN sorted_out.user_id ELSE uneven.user_id END AS user_id,
    CASE WHEN sorted_out.is_even THEN sorted_out.service_name ELSE uneven.service_name END AS service_name,
    CASE WHEN sorted_out.is_even THEN sorted_out.environment ELSE uneven.environment END AS environment,
    CASE
        WHEN NOT sorted_out.has_even_calls THEN uneven_calls.conventions
        WHEN sorted_out.convention IS NOT NULL THEN [sorted_out.convention]
    END AS conventions,
    CASE WHEN sorted_out.has_even_calls THEN sorted_out.scope_name ELSE uneven_calls.instrumentation END
        AS instrumentation
FROM sorted_out
LEFT JOIN uneven ON sorted_out.trace_id = uneven.trace_id
LEFT JOIN uneven_calls ON sorted_out.trace_id = uneven_calls.trace_id
