import { type Attributes, type LogRecord, ROOT_CONTEXT, SeverityNumber, TraceFlags, trace } from '@opentelemetry/api';
import { levels } from 'pino';

/** Said of the process, not of each line. */
const OMITTED = new Set('pid hostname process.pid host.hostname service.name event.dataset ecs.version'.split(' '));

/** @param line JSON as pino writes it, with the names of the Elastic Common Schema or its own */
export function recordOf(line: string): LogRecord {
  const { 'log.level': level, '@timestamp': at, level: number, time, message, msg, ...fields } = JSON.parse(line);
  const { 'trace.id': traceId, 'span.id': spanId, error, err = error, ...others } = fields;
  const severityText: string = level ?? levels.labels[number];
  return {
    timestamp: time ?? Date.parse(at),
    severityText,
    severityNumber: SeverityNumber[severityText.toUpperCase() as keyof typeof SeverityNumber],
    body: message ?? msg,
    attributes: flatten(others),
    exception: err && { code: err.type, message: err.message, stack: err.stack ?? err.stack_trace },
    context: trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.NONE }),
  };
}

/** With OpenTelemetry's name of the one field that it calls otherwise. */
function flatten(fields: Record<string, unknown>, prefix = '', into: Attributes = {}): Attributes {
  for (const [key, value] of Object.entries(fields)) {
    const name = prefix + key;
    if (typeof value === 'object' && value) flatten(value as Record<string, unknown>, `${name}.`, into);
    else if (!OMITTED.has(name)) into[name === 'client.ip' ? 'client.address' : name] = value as string;
  }
  return into;
}
