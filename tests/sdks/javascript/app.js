// Four spans and a log record by the stock SDK; where and how they go is in OTEL_ variables.
const { trace, SpanKind } = require('@opentelemetry/api');
const { logs, SeverityNumber } = require('@opentelemetry/api-logs');
const { NodeSDK } = require('@opentelemetry/sdk-node');

const sdk = new NodeSDK();
sdk.start();

const tracer = trace.getTracer('sending-from-javascript');
const messages = (role, content) => JSON.stringify([{ role, parts: [{ type: 'text', content }] }]);

tracer.startActiveSpan('invoke_agent weather', (agent) => {
  agent.setAttribute('gen_ai.operation.name', 'invoke_agent');
  for (const city of ['Paris', 'Rome', 'Zürich']) {
    tracer.startActiveSpan('chat gpt-5-mini', { kind: SpanKind.CLIENT }, (span) => {
      span.setAttributes({
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'gpt-5-mini',
        'gen_ai.request.temperature': 0.5,
        'gen_ai.usage.input_tokens': 12,
        'gen_ai.usage.output_tokens': 7,
        'gen_ai.response.finish_reasons': ['stop'],
        'gen_ai.input.messages': messages('user', `How is the weather in ${city}?`),
        'gen_ai.output.messages': messages('assistant', `Sunny in ${city}.`),
      });
      logs.getLogger('sending-from-javascript').emit({
        eventName: 'gen_ai.evaluation.result',
        severityNumber: SeverityNumber.INFO,
        body: city,
        attributes: { 'gen_ai.evaluation.name': 'politeness', 'gen_ai.evaluation.score.value': 0.25 },
      });
      span.end();
    });
  }
  agent.end();
});

sdk.shutdown().then(
  () => console.log('sent'),
  (error) => { console.error(error); process.exitCode = 1; },
);
