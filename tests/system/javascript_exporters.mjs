// Ends spans with values of every type through the exporter that is named, and waits until they are delivered.
import { NodeTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-node';

const [name, url, count] = process.argv.slice(2);
const { OTLPTraceExporter } = await import(`@opentelemetry/exporter-trace-otlp-${name}`);
const exporter = new OTLPTraceExporter({ url });
const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] });
const tracer = provider.getTracer('javascript', '1.0');
for (let number = 0; number < Number(count); number += 1) {
  const span = tracer.startSpan('chat m', {
    attributes: {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'm',
      'gen_ai.usage.input_tokens': 1000 + number,
      'gen_ai.response.finish_reasons': ['stop'],
      'gen_ai.fallback.used': number % 2 === 0,
      'app.fraction': number + 0.5,
      'app.word': `wörd-${number}`,
    },
  });
  span.end();
}
await provider.forceFlush();
await provider.shutdown();
