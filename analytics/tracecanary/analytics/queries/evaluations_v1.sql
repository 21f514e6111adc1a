-- One row per judgement, with its outcome: the newest of the same key wins.
-- passed is the evaluator's own verdict, else what its label says; a score alone stays unscored (null), except for
-- thumbs (above 0 is up) and escalation (recorded means escalated, unless its score is 0).
-- A judgement that names only gen_ai.response.id belongs to the span that has it, the first one if several do; until that
-- span is there its trace_id is null.
-- grain: trace_id, span_id, name, version, source   params: none   reads: landing_evaluations, spans
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
        known.*,
        row_number() OVER (
            PARTITION BY
                trace_id, coalesce(span_id, ''), CASE WHEN trace_id IS NULL THEN response_id END, name, version, source
            ORDER BY received_unix_ns DESC, time_unix_ns DESC, score DESC NULLS LAST, label DESC NULLS LAST, passed
        ) AS age_rank
    FROM (
        SELECT
            coalesce(landing_evaluations.trace_id, answers.trace_id) AS trace_id,
            CASE
                WHEN landing_evaluations.trace_id IS NULL THEN answers.span_id
                ELSE landing_evaluations.span_id
            END AS span_id,
            landing_evaluations.name,
            landing_evaluations.version,
            landing_evaluations.source,
            landing_evaluations.score,
            landing_evaluations.label,
            landing_evaluations.passed,
            landing_evaluations.time_unix_ns,
            landing_evaluations.received_unix_ns,
            landing_evaluations.response_id
        FROM landing_evaluations
        LEFT JOIN (
            SELECT
                response_id,
                trace_id,
                span_id,
                row_number() OVER (PARTITION BY response_id ORDER BY start_unix_ns, trace_id, span_id) AS answer_rank
            FROM spans
            WHERE response_id IN (SELECT response_id FROM landing_evaluations WHERE trace_id IS NULL)
        ) AS answers
            ON
                landing_evaluations.trace_id IS NULL
                AND landing_evaluations.response_id = answers.response_id
                AND answers.answer_rank = 1
    ) AS known
) AS newest
WHERE newest.age_rank = 1
