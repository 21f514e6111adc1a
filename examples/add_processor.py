"""Add tracecanary to an application that is traced with OpenTelemetry: one processor, beside whatever is there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from tracecanary.collector import CanarySpanProcessor, canary_context


def answer(tracer: trace.Tracer, *, model: str, plan: str) -> None:
    """Answer one request; an instrumentation library sets the attributes of the call to the model for you."""
    with (
        tracer.start_as_current_span("POST /chat"),
        canary_context(cohort=plan),
        tracer.start_as_current_span(f"chat {model}") as span,
    ):
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": model,
                "gen_ai.usage.input_tokens": 120,
                "gen_ai.usage.output_tokens": 38,
            }
        )


def main() -> None:
    """Trace two requests into a new lake."""
    lake = Path(tempfile.mkdtemp(prefix="tracecanary-")) / "lake"
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "service.version": "1.4.2"}))
    provider.add_span_processor(CanarySpanProcessor(lake))  # all that your application needs
    trace.set_tracer_provider(provider)

    tracer = trace.get_tracer("shop")
    answer(tracer, model="gpt-4.1", plan="free")
    answer(tracer, model="gpt-4.1-mini", plan="pro")

    provider.shutdown()  # OpenTelemetry calls it at exit, too
    print(f"the lake is at {lake}")


if __name__ == "__main__":
    main()
