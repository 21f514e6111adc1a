-- One row per span that asked a model, with what it says about retries and fallbacks.
-- These are LLM spans and spans of kind attempt; in traces without any that names a model, agent spans that do.
--   outer_id     the LLM span around it, if only chains and plain spans lie between: then it is an attempt of that
--                call (is_nested), no call of its own. An LLM span around several successes is a wrapper, such as an
--                application's span that a library wrote on, and has no row; so is one around a failure of its own model
--                and a success of another, such as LiteLLM's around its fallbacks.
--   link         'retry' or 'fallback': it resends what the sibling before it failed at, to the same or another model.
--                The sibling ended in an error, less than 60 s before this one began; neither overlaps with any
--                sibling: parallel calls are never retries. Beside each other, both are calls of one kind: by operation, or
--                else by what their instrumentation calls them. Siblings have the same parent (or are roots), the same
--                outer span, or a RunnableWithFallbacks above them.
--   nested_link  the same, of a span whose attempts inside all failed while it succeeded: it is the last attempt
--   http_retries HTTP requests below the span that failed (408, 409, 429, 5xx, or no answer) and were followed by another
--                one of the same method, or the requests' own resend count; null if no HTTP requests are traced
--   call_id      first span of the chain of links: one logical call. attempt_number orders the attempts in it.
--   is_call      counted as a model call: each span that is not nested, and each nested one left for another model
--   is_asked     names a model that the application asked for
--   top_span_id  the outermost of the LLM spans around it, itself where there is none
-- grain: trace_id, span_id   params: none   reads: spans
WITH RECURSIVE known AS (
    SELECT
        trace_id,
        span_id,
        parent_span_id,
        name,
        CASE WHEN kind = 'attempt' OR attributes['pydantic_ai.model_request.attempt'] IS NOT NULL THEN 'llm'
            ELSE coalesce(kind, 'other') END AS kind,
        attributes['pydantic_ai.model_request.attempt'] IS NOT NULL AS is_marked,
        status = 'error' AS has_failed,
        start_unix_ns,
        start_unix_ns + duration_ns AS end_unix_ns,
        coalesce(model, attributes['gen_ai.request.model']) AS model,
        operation,
        scope_name,
        CASE WHEN retry_source IS DISTINCT FROM 'http_children' THEN retry_count END AS retry_count,
        coalesce(fallback_used, fallback_from IS NOT NULL OR NULL) AS fallback_used,
        CASE WHEN otel_kind = 'client' THEN coalesce(attributes['http.request.method'], attributes['http.method']) END
            AS http_method,
        TRY_CAST(coalesce(attributes['http.response.status_code'], attributes['http.status_code']) AS INTEGER)
            AS http_status,
        coalesce(
            TRY_CAST(attributes['http.request.resend_count'] AS INTEGER),
            CASE WHEN retry_source = 'http_children' THEN retry_count END
        ) AS http_resends
    FROM spans
),
-- Failures of some libraries name no model: where all other calls of the trace that they tell asked one, they did, too.
sole_models AS (
    SELECT trace_id, scope_name, min(model) AS model
    FROM known
    WHERE kind = 'llm' AND model IS NOT NULL
    GROUP BY trace_id, scope_name
    HAVING min(model) = max(model)
),
asking AS (
    SELECT
        known.* EXCLUDE (model),
        coalesce(known.model, CASE WHEN known.kind = 'llm' AND known.has_failed THEN sole_models.model END) AS model
    FROM known
    LEFT JOIN sole_models
        ON known.trace_id = sole_models.trace_id AND known.scope_name = sole_models.scope_name
    WHERE
        known.kind = 'llm'
        OR (
            known.kind = 'agent'
            AND known.model IS NOT NULL
            AND known.trace_id NOT IN (SELECT trace_id FROM known WHERE kind = 'llm' AND model IS NOT NULL)
        )
),
-- The spans above each parent of an asking one; is_beyond: past a tool, an agent or the like, that makes calls of its own.
above AS (
    SELECT
        known.trace_id,
        known.span_id AS from_id,
        known.span_id,
        known.parent_span_id,
        known.name,
        known.kind,
        known.retry_count,
        known.fallback_used,
        1 AS depth,
        FALSE AS is_beyond
    FROM known
    INNER JOIN (SELECT DISTINCT trace_id, parent_span_id FROM asking) AS parents
        ON known.trace_id = parents.trace_id AND known.span_id = parents.parent_span_id
    UNION ALL
    SELECT
        above.trace_id,
        above.from_id,
        known.span_id,
        known.parent_span_id,
        known.name,
        known.kind,
        known.retry_count,
        known.fallback_used,
        above.depth + 1,
        above.is_beyond OR above.kind NOT IN ('llm', 'chain', 'other')
    FROM above
    INNER JOIN known ON above.trace_id = known.trace_id AND above.parent_span_id = known.span_id
    WHERE above.depth < 32 -- a cycle of parents must end
),
nearest AS (
    SELECT trace_id, from_id, min_by(span_id, depth) AS outer_id
    FROM above
    WHERE kind = 'llm' AND NOT is_beyond
    GROUP BY trace_id, from_id
),
wrappers AS (
    SELECT nearest.trace_id, nearest.outer_id AS span_id
    FROM nearest
    INNER JOIN asking ON nearest.trace_id = asking.trace_id AND nearest.from_id = asking.parent_span_id
    INNER JOIN known AS around ON nearest.trace_id = around.trace_id AND nearest.outer_id = around.span_id
    WHERE asking.kind = 'llm' AND asking.model IS NOT NULL AND nearest.outer_id != asking.span_id
    GROUP BY nearest.trace_id, nearest.outer_id
    HAVING
        count(*) FILTER (WHERE NOT asking.has_failed) > 1
        OR (
            count(*) FILTER (WHERE asking.has_failed AND asking.model = around.model) > 0
            AND count(*) FILTER (WHERE NOT asking.has_failed AND asking.model != around.model) > 0
        )
),
fenced AS (
    SELECT
        above.*,
        min(CASE WHEN wrappers.span_id IS NOT NULL THEN above.depth END)
            OVER (PARTITION BY above.trace_id, above.from_id) AS wrapper_depth
    FROM above
    LEFT JOIN wrappers ON above.trace_id = wrappers.trace_id AND above.span_id = wrappers.span_id
),
places AS (
    SELECT
        trace_id,
        from_id,
        min_by(span_id, depth)
            FILTER (WHERE kind = 'llm' AND NOT is_beyond AND depth < coalesce(wrapper_depth, depth + 1)) AS outer_id,
        max_by(span_id, depth)
            FILTER (WHERE kind = 'llm' AND NOT is_beyond AND depth < coalesce(wrapper_depth, depth + 1)) AS top_id,
        max_by(span_id, depth) FILTER (WHERE name LIKE '%RunnableWithFallbacks%' AND NOT is_beyond) AS fallbacks_id,
        min_by(span_id, depth) FILTER (WHERE retry_count IS NOT NULL AND kind IN ('chain', 'other', 'agent'))
            AS retries_on_id,
        min_by(span_id, depth) FILTER (WHERE fallback_used IS NOT NULL AND kind IN ('chain', 'other', 'agent'))
            AS fallback_on_id,
        max(depth) FILTER (WHERE span_id = from_id) > 1 AS is_in_cycle
    FROM fenced
    GROUP BY trace_id, from_id
),
placed AS (
    SELECT
        asking.*,
        CASE WHEN NOT places.is_in_cycle AND asking.kind = 'llm' THEN places.outer_id END AS outer_id,
        CASE WHEN NOT places.is_in_cycle AND asking.kind = 'llm' THEN places.top_id END AS top_id,
        CASE
            WHEN asking.kind != 'llm' THEN asking.span_id
            WHEN places.is_in_cycle THEN asking.parent_span_id
            ELSE coalesce(places.outer_id, places.fallbacks_id, asking.parent_span_id, '')
        END AS group_id,
        -- What a span is called but for its model: 'chat ', 'ChatCompletion'.
        replace(coalesce(asking.name, ''), coalesce(asking.model, ''), '') AS plain_name,
        coalesce(places.outer_id, places.fallbacks_id) IS NOT NULL AS is_in_known_group,
        places.retries_on_id,
        places.fallback_on_id
    FROM asking
    LEFT JOIN places ON asking.trace_id = places.trace_id AND asking.parent_span_id = places.from_id
    LEFT JOIN wrappers ON asking.trace_id = wrappers.trace_id AND asking.span_id = wrappers.span_id
    WHERE wrappers.span_id IS NULL
),
neighbours AS (
    SELECT
        placed.*,
        lag(has_failed) OVER siblings AS previous_has_failed,
        lag(model) OVER siblings AS previous_model,
        lag(start_unix_ns) OVER siblings AS previous_start_unix_ns,
        lag(end_unix_ns) OVER siblings AS previous_end_unix_ns,
        CASE
            WHEN is_in_known_group THEN TRUE
            WHEN operation IS NOT NULL AND lag(operation) OVER siblings IS NOT NULL
                THEN operation = lag(operation) OVER siblings
            ELSE plain_name = lag(plain_name) OVER siblings
                OR coalesce(scope_name != lag(scope_name) OVER siblings, FALSE)
        END AS is_alike,
        start_unix_ns >= coalesce(
            max(end_unix_ns) OVER (
                PARTITION BY trace_id, group_id
                ORDER BY start_unix_ns, end_unix_ns, span_id
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), start_unix_ns
        ) AND end_unix_ns <= coalesce(lead(start_unix_ns) OVER siblings, end_unix_ns) AS is_alone
    FROM placed
    WINDOW siblings AS (PARTITION BY trace_id, group_id ORDER BY start_unix_ns, end_unix_ns, span_id)
),
linked AS (
    SELECT
        neighbours.*,
        CASE
            WHEN
                previous_has_failed
                AND is_alike
                AND is_alone
                AND lag(is_alone) OVER (
                    PARTITION BY trace_id, group_id ORDER BY start_unix_ns, end_unix_ns, span_id
                )
                AND start_unix_ns > previous_start_unix_ns
                AND start_unix_ns - previous_end_unix_ns < 60000000000
                THEN CASE WHEN model = previous_model THEN 'retry' WHEN model != previous_model THEN 'fallback' END
        END AS link
    FROM neighbours
),
chained AS (
    SELECT
        linked.*,
        lead(link) OVER siblings AS next_link,
        lead(span_id) OVER siblings IS NULL AS is_last_sibling,
        sum(CASE WHEN link IS NULL THEN 1 ELSE 0 END) OVER siblings AS chain_number
    FROM linked
    WINDOW siblings AS (PARTITION BY trace_id, group_id ORDER BY start_unix_ns, end_unix_ns, span_id)
),
insides AS (
    SELECT
        trace_id,
        outer_id,
        bool_and(has_failed) AS have_all_failed,
        bool_or(is_marked) AS are_marked,
        max_by(model, (start_unix_ns, end_unix_ns, span_id)) AS last_model
    FROM chained
    WHERE outer_id IS NOT NULL
    GROUP BY trace_id, outer_id
),
tops AS (
    SELECT
        chained.trace_id,
        chained.span_id,
        chained.start_unix_ns,
        chained.retries_on_id,
        chained.fallback_on_id,
        first_value(chained.span_id) OVER (
            PARTITION BY chained.trace_id, chained.group_id, chained.chain_number
            ORDER BY chained.start_unix_ns, chained.end_unix_ns, chained.span_id
        ) AS call_id
    FROM chained
    WHERE chained.outer_id IS NULL
),
requests AS (
    SELECT
        known.trace_id,
        known.parent_span_id AS span_id,
        known.start_unix_ns,
        known.end_unix_ns,
        known.http_resends,
        CASE WHEN known.http_status IS NULL THEN known.has_failed
            ELSE known.http_status IN (408, 409, 429) OR known.http_status >= 500 END AS has_failed,
        max(known.start_unix_ns) OVER (PARTITION BY known.trace_id, known.parent_span_id, known.http_method)
            AS last_start_unix_ns
    FROM known
    INNER JOIN asking ON known.trace_id = asking.trace_id AND known.parent_span_id = asking.span_id
    WHERE known.http_method IS NOT NULL
),
request_retries AS (
    SELECT
        trace_id,
        span_id,
        greatest(
            count(*) FILTER (
                WHERE has_failed AND start_unix_ns < last_start_unix_ns AND end_unix_ns <= last_start_unix_ns
            ),
            coalesce(max(http_resends), 0)
        ) AS http_retries
    FROM requests
    GROUP BY trace_id, span_id
),
joined AS (
    SELECT
        chained.*,
        tops.call_id,
        tops.span_id AS top_span_id,
        tops.start_unix_ns AS top_start_unix_ns,
        -- What stands above the call as a whole, not between its attempts.
        tops.retries_on_id AS call_retries_on_id,
        tops.fallback_on_id AS call_fallback_on_id,
        request_retries.http_retries,
        CASE WHEN insides.have_all_failed AND NOT chained.has_failed
            THEN CASE WHEN chained.model = insides.last_model THEN 'retry'
                WHEN chained.model != insides.last_model THEN 'fallback' END
        END AS nested_link,
        coalesce(insides.have_all_failed AND (insides.are_marked OR NOT chained.has_failed), FALSE) AS is_after_nested
    FROM chained
    INNER JOIN tops ON chained.trace_id = tops.trace_id AND coalesce(chained.top_id, chained.span_id) = tops.span_id
    LEFT JOIN insides ON chained.trace_id = insides.trace_id AND chained.span_id = insides.outer_id
    LEFT JOIN request_retries
        ON chained.trace_id = request_retries.trace_id AND chained.span_id = request_retries.span_id
),
left_behind AS (
    SELECT
        joined.*,
        joined.outer_id IS NOT NULL AS is_nested,
        coalesce(
            joined.next_link = 'fallback' OR (joined.is_last_sibling AND around.nested_link = 'fallback'), FALSE
        ) AS is_left
    FROM joined
    LEFT JOIN joined AS around ON joined.trace_id = around.trace_id AND joined.outer_id = around.span_id
)
SELECT
    trace_id,
    span_id,
    call_id,
    row_number() OVER (
        PARTITION BY trace_id, call_id
        ORDER BY
            top_start_unix_ns, top_span_id,
            CASE WHEN is_nested THEN 1 WHEN is_after_nested THEN 2 ELSE 0 END,
            start_unix_ns, end_unix_ns, span_id
    ) AS attempt_number,
    outer_id,
    top_span_id,
    is_nested,
    -- A span that names no model asked the one that is named inside it.
    CASE WHEN is_nested THEN model ELSE coalesce(model, max(model) OVER (PARTITION BY trace_id, top_span_id)) END
        AS model,
    kind = 'llm' AND (NOT is_nested OR is_left) AS is_call,
    NOT is_nested OR is_left OR coalesce(link = 'fallback', FALSE) AS is_asked,
    has_failed,
    start_unix_ns,
    link,
    nested_link,
    http_retries,
    retry_count,
    call_retries_on_id AS retries_on_id,
    call_fallback_on_id AS fallback_on_id
FROM left_behind
