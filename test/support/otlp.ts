/** A span as it was sent, with its ids in hexadecimal. */
export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  /** '' for the root span of a trace. */
  parentSpanId: string;
  name: string;
  kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer';
  startNs: bigint;
  endNs: bigint;
  attributes: Attributes;
  events: string[];
  isError: boolean;
  statusMessage: string;
  resource: Attributes;
}
export type Attributes = Record<string, string | number | boolean | undefined>;

const KINDS = ['internal', 'internal', 'server', 'client', 'producer', 'consumer'] as const;
const ERROR = 2n;

/** The spans of an ExportTraceServiceRequest, by the field numbers of opentelemetry-proto 1.x (trace.proto, common.proto). */
export function spansOf(body: Buffer): ReceivedSpan[] {
  return inScopes(body).map(({ message: span, resource }) => {
    const fields = fieldsOf(span);
    const status = bytes(fields, 15);
    return {
      traceId: bytes(fields, 1).toString('hex'),
      spanId: bytes(fields, 2).toString('hex'),
      parentSpanId: bytes(fields, 4).toString('hex'),
      name: bytes(fields, 5).toString(),
      kind: KINDS[Number(number(fields, 6))] as ReceivedSpan['kind'],
      startNs: number(fields, 7),
      endNs: number(fields, 8),
      attributes: attributesOf(span, 9),
      events: messages(span, 11).map((event) => bytes(fieldsOf(event), 2).toString()),
      isError: number(fieldsOf(status), 3) === ERROR,
      statusMessage: bytes(fieldsOf(status), 2).toString(),
      resource,
    };
  });
}

/** A log line as it was sent; its ids are '' when it belongs to no trace. */
export interface ReceivedLine {
  atNs: bigint;
  severity: number;
  level: string;
  message: string;
  traceId: string;
  spanId: string;
  attributes: Attributes;
  resource: Attributes;
}

/** The lines of an ExportLogsServiceRequest, by the field numbers of logs.proto. */
export const linesOf = (body: Buffer): ReceivedLine[] =>
  inScopes(body).map(({ message: line, resource }) => {
    const fields = fieldsOf(line);
    return {
      atNs: number(fields, 1),
      severity: Number(number(fields, 2)),
      level: bytes(fields, 3).toString(),
      message: String(contentOf(bytes(fields, 5))),
      traceId: bytes(fields, 9).toString('hex'),
      spanId: bytes(fields, 10).toString('hex'),
      attributes: attributesOf(line, 6),
      resource,
    };
  });

/** A metric as it was sent. */
export interface ReceivedMetric {
  name: string;
  unit: string;
  kind: 'gauge' | 'sum' | 'histogram';
  isMonotonic: boolean;
  /** The totals since the start of the process, not what was added since the last time. */
  isCumulative: boolean;
  points: { attributes: Attributes; startNs: bigint; value: number; sum: number; bounds: number[]; counts: number[] }[];
  resource: Attributes;
}

const METRIC_KINDS = { 5: 'gauge', 7: 'sum', 9: 'histogram' } as const;
const CUMULATIVE = 2n;

/** The metrics of an ExportMetricsServiceRequest, by the field numbers of metrics.proto. */
export const metricsOf = (body: Buffer): ReceivedMetric[] =>
  inScopes(body).map(({ message: metric, resource }) => {
    const fields = fieldsOf(metric);
    const data = fields.find((field) => field.number in METRIC_KINDS) as Field & { number: 5 | 7 | 9 };
    const kind = METRIC_KINDS[data.number];
    const about = fieldsOf(data.value as Buffer);
    const points = messages(data.value as Buffer, 1).map((point) => {
      const parts = fieldsOf(point);
      const isHistogram = kind === 'histogram';
      return {
        attributes: attributesOf(point, isHistogram ? 9 : 7),
        startNs: number(parts, 2),
        value: isHistogram ? Number(number(parts, 4)) : double(number(parts, 4)),
        sum: double(number(parts, 5)),
        bounds: eights(bytes(parts, 7)).map(double),
        counts: eights(bytes(parts, 6)).map(Number),
      };
    });
    return {
      name: bytes(fields, 1).toString(),
      unit: bytes(fields, 3).toString(),
      kind,
      isMonotonic: kind === 'sum' && number(about, 3) === 1n,
      isCumulative: number(about, 2) === CUMULATIVE,
      points,
      resource,
    };
  });

/** The spans, lines or metrics in all scopes of all resources of a request. */
const inScopes = (body: Buffer) =>
  messages(body, 1).flatMap((ofResource) => {
    const resource = attributesOf(messages(ofResource, 1)[0] ?? Buffer.alloc(0), 1);
    const found = messages(ofResource, 2).flatMap((ofScope) => messages(ofScope, 2));
    return found.map((message) => ({ message, resource }));
  });

type Field = { number: number; value: bigint | Buffer };

/** The fields of a message in Protocol Buffers' wire format. */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    for (let value = 0n, shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number) => {
    if (at + length > message.length) throw new Error('the message is cut off');
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const read = {
      0: varint,
      1: () => take(8).readBigUInt64LE(),
      2: () => take(Number(varint())),
      5: () => BigInt(take(4).readUInt32LE()),
    }[key & 7];
    if (!read) throw new Error(`there is no wire type ${key & 7}`);
    fields.push({ number: key >> 3, value: read() });
  }
  return fields;
}

const messages = (message: Buffer, number: number): Buffer[] =>
  fieldsOf(message).flatMap((field) => (field.number === number ? [field.value as Buffer] : []));

const bytes = (fields: Field[], number: number): Buffer =>
  (fields.find((field) => field.number === number)?.value ?? Buffer.alloc(0)) as Buffer;

const number = (fields: Field[], which: number): bigint =>
  (fields.find((field) => field.number === which)?.value ?? 0n) as bigint;

function attributesOf(message: Buffer, which: number): Attributes {
  return Object.fromEntries(
    messages(message, which).map((pair) => {
      const fields = fieldsOf(pair);
      return [bytes(fields, 1).toString(), contentOf(bytes(fields, 2))];
    }),
  );
}

/** The value of an AnyValue; undefined for lists and maps, which do not occur. */
function contentOf(any: Buffer): Attributes[string] {
  const [field] = fieldsOf(any);
  if (field?.number === 1) return field.value.toString();
  if (field?.number === 2) return field.value === 1n;
  if (field?.number === 3) return Number(BigInt.asIntN(64, field.value as bigint));
  if (field?.number === 4) return double(field.value as bigint);
  return undefined;
}

const double = (bits: bigint): number => new Float64Array(new BigUint64Array([bits]).buffer)[0] as number;

/** The values of a packed list of eight bytes each. */
const eights = (packed: Buffer): bigint[] =>
  Array.from({ length: packed.length / 8 }, (_, index) => packed.readBigUInt64LE(8 * index));
