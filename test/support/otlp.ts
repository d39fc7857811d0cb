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
  return messages(body, 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1)[0] ?? Buffer.alloc(0), 1);
    const spans = messages(resourceSpans, 2).flatMap((scopeSpans) => messages(scopeSpans, 2));
    return spans.map((span) => {
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
  });
}

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
  if (field?.number === 4) return new Float64Array(new BigUint64Array([field.value as bigint]).buffer)[0];
  return undefined;
}
