-- The spans of a trace as it is counted, in order of time, each with what it counts as.
--   cost         by priced_spans
--   is_counted   its tokens and cost are the trace's: none below it bears tokens
--   call_id      the logical model call that it is an attempt of; is_call: counted as a model call
-- grain: trace_id, span_id   params: none   reads: spans, priced_spans, attempts, spans_above_tokens
SELECT
    spans.trace_id,
    spans.span_id,
    spans.parent_span_id,
    spans.name,
    spans.kind,
    spans.start_unix_ns,
    spans.duration_ns,
    spans.status,
    spans.error_class,
    spans.model,
    spans.agent_name,
    spans.tool_name,
    spans.step,
    spans.convention,
    spans.scope_name,
    spans.input_tokens,
    spans.output_tokens,
    priced_spans.cost_nano_usd,
    priced_spans.cost_source,
    spans.finish_reason,
    attempts.call_id,
    attempts.is_call,
    attempts.link AS resends,
    (spans.input_tokens IS NOT NULL OR spans.output_tokens IS NOT NULL) AND below.trace_id IS NULL AS is_counted
FROM spans
LEFT JOIN attempts ON spans.trace_id = attempts.trace_id AND spans.span_id = attempts.span_id
LEFT JOIN priced_spans ON spans.trace_id = priced_spans.trace_id AND spans.span_id = priced_spans.span_id
LEFT JOIN (
    SELECT DISTINCT trace_id, span_id
    FROM spans_above_tokens
) AS below ON spans.trace_id = below.trace_id AND spans.span_id = below.span_id
ORDER BY spans.start_unix_ns, spans.span_id
