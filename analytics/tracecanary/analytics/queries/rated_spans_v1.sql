-- Spans with what they cost, in nano-USD.
--   computed_cost   from its tokens and the rates of its model at its start: the same as PriceBook.price_call
--   reported_cost   as its instrumentation says; 0 for tokens is what libraries say of a model whose price they lack
--   cost            computed from the installation's own price, else reported, else computed from a published price.
--                   An own price is what is paid; what is reported knows cached tokens and tiers that spans may not tell
--   cost_source     file, reported or genai-prices; null without a cost
--   unpriced_model  its model, where nobody has a price of it; null where there is one, though tokens be unknown
--   asked_model     the model as far as any attribute tells it
-- grain: a row of billed_spans   params: none   reads: billed_spans, rates
SELECT
    costed.* EXCLUDE (rate_source),
    CASE
        WHEN rate_source = 'file' AND computed_cost_nano_usd IS NOT NULL THEN computed_cost_nano_usd
        ELSE coalesce(reported_cost_nano_usd, computed_cost_nano_usd)
    END AS cost_nano_usd,
    CASE
        WHEN rate_source = 'file' AND computed_cost_nano_usd IS NOT NULL THEN 'file'
        WHEN reported_cost_nano_usd IS NOT NULL THEN 'reported'
        WHEN computed_cost_nano_usd IS NOT NULL THEN rate_source
    END AS cost_source,
    CASE
        WHEN bears_tokens AND reported_cost_nano_usd IS NULL AND rate_source IS NULL
            THEN coalesce(asked_model, request_model, response_model, '(unknown)')
    END AS unpriced_model
FROM (
    SELECT
        rated.* EXCLUDE (pico_usd),
        -- Rounded once, half up. A remainder is exact where engines differ in the division of integers.
        CAST(round((pico_usd + 500 - (pico_usd + 500) % 1000) / 1000) AS BIGINT) AS computed_cost_nano_usd
    FROM (
        SELECT
            called.* EXCLUDE (read_tokens, written_tokens, reasoned_tokens),
            rates.source AS rate_source,
            CASE
                WHEN
                    called.input_tokens <= 1000000000
                    AND (
                        called.output_tokens <= 1000000000
                        OR (called.output_tokens IS NULL AND rates.output_pico_usd = 0)
                    )
                    THEN rates.call_pico_usd
                        + (called.input_tokens - called.read_tokens - called.written_tokens) * rates.input_pico_usd
                        + called.read_tokens * rates.cached_input_pico_usd
                        + called.written_tokens * rates.cache_write_pico_usd
                        + (coalesce(called.output_tokens, 0) - called.reasoned_tokens) * rates.output_pico_usd
                        + called.reasoned_tokens * rates.reasoning_pico_usd
            END AS pico_usd
        FROM (
            SELECT
                billed_spans.* EXCLUDE (reported_cost_nano_usd),
                coalesce(model, attributes['gen_ai.request.model']) AS asked_model,
                (input_tokens IS NOT NULL OR output_tokens IS NOT NULL) AS bears_tokens,
                CASE
                    WHEN
                        reported_cost_nano_usd != 0
                        OR (coalesce(input_tokens, 0) = 0 AND coalesce(output_tokens, 0) = 0)
                        THEN reported_cost_nano_usd
                END AS reported_cost_nano_usd,
                least(coalesce(cache_read_tokens, 0), input_tokens) AS read_tokens,
                least(
                    coalesce(cache_write_tokens, 0), input_tokens - least(coalesce(cache_read_tokens, 0), input_tokens)
                ) AS written_tokens,
                least(coalesce(reasoning_tokens, 0), coalesce(output_tokens, 0)) AS reasoned_tokens
            FROM billed_spans
        ) AS called
        LEFT JOIN rates
            ON called.model IS NOT DISTINCT FROM rates.model
            AND called.request_model IS NOT DISTINCT FROM rates.request_model
            AND called.response_model IS NOT DISTINCT FROM rates.response_model
            AND called.provider IS NOT DISTINCT FROM rates.provider
            AND called.start_unix_ns >= rates.from_unix_ns
            AND called.start_unix_ns < rates.until_unix_ns
            AND called.start_unix_ns % 86400000000000 >= rates.day_from_ns
            AND called.start_unix_ns % 86400000000000 < rates.day_until_ns
            AND least(coalesce(called.input_tokens, 0), 1000000000) >= rates.input_tokens_from
            AND least(coalesce(called.input_tokens, 0), 1000000000) < rates.input_tokens_until
    ) AS rated
) AS costed
