import { context, propagation, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';

/** The W3C trace context of who enqueued a job; empty without tracing. */
export type Trace = Record<string, string>;

/** The trace that this code runs in. */
export function currentTrace(): Trace {
  const current: Trace = {};
  propagation.inject(context.active(), current);
  return current;
}

/** Works a job in a span of its own, within the trace of who enqueued it. */
export function inTrace<T>(name: string, enqueuer: Trace, work: () => Promise<T>): Promise<T> {
  const options = { kind: SpanKind.CONSUMER, attributes: { 'messaging.destination.name': name } };
  const parent = propagation.extract(ROOT_CONTEXT, enqueuer);
  return trace.getTracer('floodgate').startActiveSpan(`process ${name}`, options, parent, (span) => {
    const working = work();
    const fail = () => span.setStatus({ code: SpanStatusCode.ERROR });
    void working.catch(fail).finally(() => span.end());
    return working;
  });
}
