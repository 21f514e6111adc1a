-- One row per logical model call: its attempts, what became of it, and how that is known.
--   model          the model asked first: fallback_from where the application states it, else the first attempt's
--   models         all models asked, in order
--   retries        resends; null where none could be seen. retry_source:
--                    attribute      a count that the application or library states, on the call or on a span above it
--                    http_children  HTTP requests are traced below the call
--                    siblings       a failed attempt that was resent is a span of its own, beside or inside the call
--                    none           nothing would show a retry
--                  A count stated beats what is derived; one stated on an attempt speaks of that attempt, and hides no
--                  resends that are spans beside it. One stated above several calls is that of all of them: it goes
--                  to the first that derives a retry, else to the first, and the others have 0. So for fallbacks.
--   is_fallback    another model was asked after the first one failed; null where fallback_source is none.
--                  fallback_from is null where only that is stated, and no attempt at the first one is traced
--   has_failed     the last attempt failed
-- grain: trace_id, call_id   params: none   reads: attempts, spans
WITH stated AS (
    SELECT
        trace_id,
        span_id,
        CASE WHEN retry_source IS DISTINCT FROM 'http_children' THEN retry_count END AS retry_count,
        coalesce(fallback_used, fallback_from IS NOT NULL OR NULL) AS fallback_used,
        fallback_from,
        attributes['gen_ai.fallback.to'] AS fallback_to
    FROM spans
    WHERE retry_count IS NOT NULL OR fallback_used IS NOT NULL OR fallback_from IS NOT NULL
),
derived AS (
    SELECT
        attempts.trace_id,
        attempts.call_id,
        min(attempts.start_unix_ns) AS start_unix_ns,
        list(attempts.model ORDER BY attempts.attempt_number)
            FILTER (WHERE attempts.is_asked AND attempts.model IS NOT NULL) AS models,
        count(*) AS attempts,
        max_by(attempts.has_failed, attempts.attempt_number) FILTER (WHERE NOT attempts.is_nested) AS has_failed,
        count(*) FILTER (WHERE attempts.link = 'retry') + count(*) FILTER (WHERE attempts.nested_link = 'retry')
            AS linked_retries,
        count(*) FILTER (WHERE attempts.link = 'retry' AND NOT attempts.is_nested) AS resent_beside,
        sum(attempts.http_retries) AS http_retries,
        coalesce(bool_or(attempts.link = 'fallback' OR attempts.nested_link = 'fallback'), FALSE) AS has_fallback,
        max(stated.retry_count) AS own_retries,
        bool_or(stated.fallback_used) AS own_fallback,
        min_by(stated.fallback_from, attempts.attempt_number) FILTER (WHERE stated.fallback_used) AS own_fallback_from,
        max_by(stated.fallback_to, attempts.attempt_number) FILTER (WHERE stated.fallback_used) AS own_fallback_to,
        max(attempts.retries_on_id) AS retries_on_id,
        max(attempts.fallback_on_id) AS fallback_on_id
    FROM attempts
    LEFT JOIN stated ON attempts.trace_id = stated.trace_id AND attempts.span_id = stated.span_id
    GROUP BY attempts.trace_id, attempts.call_id
),
-- Which of the calls below a span that states something it speaks of; none, if one of them states it itself.
ranked AS (
    SELECT
        derived.*,
        row_number() OVER (
            PARTITION BY trace_id, retries_on_id
            ORDER BY linked_retries + coalesce(http_retries, 0) = 0, start_unix_ns, call_id
        ) AS retries_rank,
        row_number() OVER (
            PARTITION BY trace_id, fallback_on_id ORDER BY has_fallback DESC, start_unix_ns, call_id
        ) AS fallback_rank,
        count(own_retries) OVER (PARTITION BY trace_id, retries_on_id) > 0 AS is_retries_own,
        count(own_fallback) OVER (PARTITION BY trace_id, fallback_on_id) > 0 AS is_fallback_own
    FROM derived
),
said AS (
    SELECT
        ranked.*,
        coalesce(
            greatest(ranked.own_retries, CASE WHEN ranked.own_retries IS NOT NULL THEN ranked.resent_beside END),
            CASE WHEN NOT ranked.is_retries_own AND retries_on.retry_count IS NOT NULL
                THEN CASE WHEN ranked.retries_rank = 1 THEN retries_on.retry_count ELSE 0 END END
        ) AS said_retries,
        coalesce(
            CASE WHEN ranked.own_fallback OR NOT ranked.has_fallback THEN ranked.own_fallback END,
            CASE WHEN NOT ranked.is_fallback_own AND fallback_on.fallback_used IS NOT NULL
                THEN fallback_on.fallback_used AND ranked.fallback_rank = 1 END
        ) AS said_fallback,
        CASE WHEN ranked.own_fallback THEN ranked.own_fallback_from ELSE fallback_on.fallback_from END AS said_from,
        CASE WHEN ranked.own_fallback THEN ranked.own_fallback_to ELSE fallback_on.fallback_to END AS said_to
    FROM ranked
    LEFT JOIN stated AS retries_on
        ON ranked.trace_id = retries_on.trace_id AND ranked.retries_on_id = retries_on.span_id
    LEFT JOIN stated AS fallback_on
        ON ranked.trace_id = fallback_on.trace_id AND ranked.fallback_on_id = fallback_on.span_id
),
decided AS (
    SELECT
        said.*,
        coalesce(said_fallback, has_fallback) AS fell_back,
        CASE WHEN said_fallback THEN coalesce(said_from, models[1]) ELSE models[1] END AS first_model
    FROM said
)
SELECT
    trace_id,
    call_id,
    start_unix_ns,
    first_model AS model,
    CASE WHEN first_model IS NULL OR models[1] = first_model THEN models ELSE list_concat([first_model], models) END AS models,
    attempts,
    has_failed,
    CASE
        WHEN said_retries IS NOT NULL THEN said_retries
        WHEN http_retries IS NOT NULL OR linked_retries > 0 THEN linked_retries + coalesce(http_retries, 0)
    END AS retries,
    CASE
        WHEN said_retries IS NOT NULL THEN 'attribute'
        WHEN http_retries IS NOT NULL THEN 'http_children'
        WHEN linked_retries > 0 THEN 'siblings'
        ELSE 'none'
    END AS retry_source,
    CASE WHEN said_fallback IS NOT NULL OR has_fallback THEN fell_back END AS is_fallback,
    CASE WHEN said_fallback IS NOT NULL THEN 'attribute' WHEN has_fallback THEN 'siblings' ELSE 'none' END
        AS fallback_source,
    CASE WHEN fell_back AND (said_from IS NOT NULL OR len(models) > 1) THEN first_model END AS fallback_from,
    CASE WHEN fell_back THEN coalesce(CASE WHEN said_fallback THEN said_to END, models[len(models)]) END AS fallback_to
FROM decided
