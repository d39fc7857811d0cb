/**
 * Every problem type that a client can meet, with its status and title (RFC 9457).
 * Two types come from IANA's registry of HTTP problem types; the others are this API's own.
 */
export const problemTypes = {
  'invalid-request': { status: 400, title: 'The request is not valid' },
  'invalid-token': { status: 401, title: 'A valid token is needed' },
  'invalid-credentials': { status: 401, title: 'Email or password is wrong' },
  forbidden: { status: 403, title: 'This caller may not do that' },
  'not-found': { status: 404, title: 'There is no such thing' },
  'not-acceptable': { status: 406, title: 'The answer has no form that the caller takes' },
  'method-not-allowed': { status: 405, title: 'This resource does not take that method' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive' },
  conflict: { status: 409, title: 'The request conflicts with what is there' },
  'precondition-failed': { status: 412, title: 'What is there is not what If-Match says' },
  'content-too-large': { status: 413, title: 'The content is too large' },
  'uri-too-long': { status: 414, title: 'The address is too long' },
  'unsupported-media-type': { status: 415, title: 'The content is of a type that is not read here' },
  'range-not-satisfiable': { status: 416, title: 'There is no such range' },
  'unprocessable-content': { status: 422, title: 'Nothing was stored' },
  'idempotency-key-reused': { status: 422, title: 'The Idempotency-Key belongs to another request' },
  'precondition-required': { status: 428, title: 'A change needs If-Match' },
  'quota-exceeded': { status: 429, title: 'Too many requests' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  'internal-error': { status: 500, title: 'Something went wrong here' },
  'temporary-reduced-capacity': { status: 503, title: 'Not now: try again in a moment' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ProblemType = keyof typeof problemTypes;

/** One thing that is wrong: a JSON Pointer into the body, or a parameter's name, and what is wrong there. */
export interface Mistake {
  pointer: string;
  detail: string;
}

const registered: readonly string[] = ['quota-exceeded', 'temporary-reduced-capacity'];

/** The problem's identifier as clients see it. */
export const problemUri = (type: string): string =>
  registered.includes(type)
    ? `https://iana.org/assignments/http-problem-types#${type}`
    : `urn:problem-type:floodgate:${type}`;

/** A failure that the caller is told of. Its detail goes over the wire: never put a secret or a library's text there. */
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

  /** The same, which says more, of a failure that shows in the log. */
  with(members: Record<string, unknown>, failure: unknown): Problem {
    const said = new Problem(this.type, this.detail, { ...this.members, ...members }, this.headers);
    return Object.assign(said, { cause: causeOf(failure) });
  }

  /** The document, for a request that is known by its path and id. */
  toDocument(instance: string, requestId: string): Record<string, unknown> {
    const { status, title } = problemTypes[this.type];
    return { type: problemUri(this.type), title, status, detail: this.detail, instance, requestId, ...this.members };
  }
}

/** What went wrong beneath an error: nothing where it is a refusal, which was meant. */
export const causeOf = (error: unknown): unknown => (error instanceof Problem ? error.cause : error);

/** Something in the request is wrong; `mistakes` says where. */
export const invalid = (detail: string, mistakes: Mistake[] = []): Problem =>
  new Problem('invalid-request', detail, mistakes.length > 0 ? { errors: mistakes } : {});

export const notFound = (detail = 'There is nothing here.'): Problem => new Problem('not-found', detail);

/** Not now; `seconds` is when a retry makes sense. */
export const unavailable = (detail: string, seconds = 1): Problem =>
  new Problem('temporary-reduced-capacity', detail, {}, { 'retry-after': String(seconds) });

/** A body is longer than `limit` bytes. */
export const tooLarge = (limit: number): Problem =>
  new Problem('content-too-large', `The body is larger than ${limit} bytes.`);
