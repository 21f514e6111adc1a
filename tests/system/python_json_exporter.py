"""Ends calls and delivers them; run where OpenTelemetry's OTLP/JSON exporter is installed."""

import sys

from opentelemetry.exporter.otlp.json.http.trace_exporter import (  # type: ignore[import-not-found]  # see the test
    OTLPSpanExporter,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

url, count = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url)))
tracer = provider.get_tracer("python", "1.0")
for number in range(int(count)):
    tracer.start_span(
        "chat m",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.usage.input_tokens": 1000 + number,
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.fallback.used": number % 2 == 0,
            "app.fraction": number + 0.5,
            "app.word": f"wörd-{number}",
        },
    ).end()
provider.shutdown()
