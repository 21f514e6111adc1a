"""Judge answers in the application, before their content is dropped, and record what people say about them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer, format_trace_id

from tracecanary.collector import (
    CanarySpanProcessor,
    EvaluatorSettings,
    JsonSchemaEvaluator,
    JudgedSpan,
    RefusalEvaluator,
    record_evaluation,
    record_feedback,
)

ANSWERS = {
    "gpt-4.1": ['{"city": "Paris"}', '{"city": "Rome"}', '{"city": "Oslo"}', '{"city": "Bonn"}'],
    "ft:gpt-4.1:shop": [
        '{"city": "Paris"}',
        "It is Rome.",
        "I'm sorry, but I can't help with that.",
        '{"city": "Bonn"}',
    ],
}


def names_a_city(judged: JudgedSpan) -> bool | None:
    """Judge by any function: it gets the span with its content, on a thread of its own."""
    return None if judged.output_text is None else any(city in judged.output_text for city in ("Paris", "Rome", "Oslo"))


def answer(tracer: Tracer, *, model: str, text: str) -> str:
    """Answer one request and return its trace id; an instrumentation library sets the attributes for you."""
    with tracer.start_as_current_span(f"chat {model}") as span:
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": model,
                "gen_ai.output.messages": text,
            }
        )
        record_evaluation("length", score=len(text), passed=len(text) < 30)  # known at once: an event of the span
        return format_trace_id(span.get_span_context().trace_id)


def main() -> None:
    """Trace a few requests of two models into a new lake."""
    lake = Path(tempfile.mkdtemp(prefix="tracecanary-")) / "lake"
    schema = {"type": "object", "required": ["city"]}
    processor = CanarySpanProcessor(
        lake,
        evaluators=[JsonSchemaEvaluator(schema, name="city_json"), RefusalEvaluator(), names_a_city],
        evaluator_settings=EvaluatorSettings(sample_rate=1.0, time_limit_s=0.5),
    )
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(processor)

    tracer = provider.get_tracer("shop")
    for model, texts in ANSWERS.items():
        for text in texts:
            trace_id = answer(tracer, model=model, text=text)
            # Later, in a request of its own, by the trace id that was kept with the answer.
            record_feedback(thumbs="up" if text.startswith("{") else "down", trace_id=trace_id)

    provider.shutdown()
    print(f"the lake is at {lake}; not judged or lost: {processor.dropped_evaluations or 'nothing'}")


if __name__ == "__main__":
    main()
