-- One row per judgement, with its outcome: the newest of the same key wins.
-- passed is the evaluator's own verdict, else what its label says; a score alone stays unscored (null), except for
-- thumbs (above 0 is up) and escalation (recorded means escalated, unless its score is 0).
-- The trace_id of a judgement is null while it waits for the span with its gen_ai.response.id (placed_evaluations_v1).
-- grain: trace_id, span_id, name, version, source   params: none   reads: landing_evaluations
SELECT
    newest.trace_id,
    newest.span_id,
    newest.name,
    newest.version,
    newest.source,
    newest.score,
    newest.label,
    newest.time_unix_ns,
    CASE
        WHEN newest.passed IS NOT NULL THEN newest.passed
        WHEN newest.name = 'escalation' THEN coalesce(newest.score <= 0, FALSE)
        WHEN lower(newest.label) IN
            ('pass', 'passed', 'correct', 'true', 'yes', 'ok', 'relevant', 'up', 'thumbs_up', 'positive') THEN TRUE
        WHEN lower(newest.label) IN
            ('fail', 'failed', 'incorrect', 'false', 'no', 'irrelevant', 'down', 'thumbs_down', 'negative') THEN FALSE
        WHEN newest.name = 'thumbs' THEN newest.score > 0
    END AS passed
FROM (
    SELECT
        placed.*,
        row_number() OVER (
            PARTITION BY
                trace_id, coalesce(span_id, ''), CASE WHEN trace_id IS NULL THEN response_id END, name, version, source
            ORDER BY received_unix_ns DESC, time_unix_ns DESC, score DESC NULLS LAST, label DESC NULLS LAST, passed
        ) AS age_rank
    FROM (
        SELECT
            landing_evaluations.* EXCLUDE (trace_id),
            CASE
                WHEN NOT (is_by_response AND trace_id = concat('response ', response_id)) THEN trace_id
            END AS trace_id
        FROM landing_evaluations
    ) AS placed
) AS newest
WHERE newest.age_rank = 1
