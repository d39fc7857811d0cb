/**
 * All problem types of this API, with status and title (RFC 9457).
 * Two come from IANA's registry of HTTP problem types; the others are this API's own.
 */
export const problemTypes = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  'invalid-token': { status: 401, title: 'A valid token is needed' },
  'invalid-credentials': { status: 401, title: 'Email or password is wrong' },
  forbidden: { status: 403, title: 'The caller is not allowed to do this' },
  'not-found': { status: 404, title: 'There is no such resource' },
  'not-acceptable': { status: 406, title: 'The route produces no media type that the caller accepts' },
  'method-not-allowed': { status: 405, title: 'The resource does not support this method' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'The request conflicts with existing data' },
  'precondition-failed': { status: 412, title: 'If-Match does not name the current version' },
  'content-too-large': { status: 413, title: 'The content is too large' },
  'uri-too-long': { status: 414, title: 'The URL is too long' },
  'unsupported-media-type': { status: 415, title: 'The media type is not supported' },
  'range-not-satisfiable': { status: 416, title: 'The range cannot be served' },
  'unprocessable-content': { status: 422, title: 'Nothing was stored' },
  'idempotency-key-reused': { status: 422, title: 'The Idempotency-Key belongs to another request' },
  'precondition-required': { status: 428, title: 'A change needs If-Match' },
  'quota-exceeded': { status: 429, title: 'Too many requests' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  'internal-error': { status: 500, title: 'The server failed unexpectedly' },
  'temporary-reduced-capacity': { status: 503, title: 'Temporarily unavailable: try again in a moment' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemType = keyof typeof problemTypes;

/** A single mistake: where it is, as a JSON Pointer into the body or a parameter's name, and what is wrong. */
export interface Mistake {
  pointer: string;
  detail: string;
}

const registered: readonly string[] = ['quota-exceeded', 'temporary-reduced-capacity'];

/** The value of `type` in the problem document. */
export const problemUri = (type: string): string =>
  registered.includes(type)
    ? `https://iana.org/assignments/http-problem-types#${type}`
    : `urn:problem-type:floodgate:${type}`;

/** A failure that is reported to the caller. Its detail is sent: never put a secret or a library's text there. */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;

  constructor(
    readonly type: ProblemType,
    readonly detail: string,
    /** Members beside the standard ones, such as `errors`. */
    readonly members: Record<string, unknown> = {},
    readonly headers: Record<string, string> = {},
  ) {
    super(detail);
    this.status = problemTypes[type].status;
  }

  /** A copy with more members, and with the failure's cause for the log. */
  with(members: Record<string, unknown>, failure: unknown): Problem {
    const copy = new Problem(this.type, this.detail, { ...this.members, ...members }, this.headers);
    return Object.assign(copy, { cause: causeOf(failure) });
  }

  /** @param instance the path of the request */
  toDocument(instance: string, requestId: string): Record<string, unknown> {
    const { status, title } = problemTypes[this.type];
    return { type: problemUri(this.type), title, status, detail: this.detail, instance, requestId, ...this.members };
  }
}

/** The failure behind an error; undefined for a Problem without one, which is a deliberate refusal. */
export const causeOf = (error: unknown): unknown => (error instanceof Problem ? error.cause : error);

export const invalid = (detail: string, mistakes: Mistake[] = []): Problem =>
  new Problem('invalid-request', detail, mistakes.length > 0 ? { errors: mistakes } : {});

export const notFound = (detail = 'There is no such resource.'): Problem => new Problem('not-found', detail);

/** @param seconds until a retry makes sense */
export const unavailable = (detail: string, seconds = 1): Problem =>
  new Problem('temporary-reduced-capacity', detail, {}, { 'retry-after': String(seconds) });

export const tooLarge = (limit: number): Problem =>
  new Problem('content-too-large', `The body is larger than ${limit} bytes.`);
