import { drift } from './document.js';

/** An answer with its body read. */
export interface Response {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests check its shape
  body: any;
}

type RequestHeaders = Record<string, string>;

/** The tests' HTTP client: JSON in and out, over a real socket. */
export class Client {
  constructor(
    readonly url: string,
    readonly tokens?: { accessToken: string; refreshToken: string },
    /** The signed-in user's id. */
    readonly userId = '',
  ) {}

  /** A client of the same app for a registered user. */
  async signIn(email: string, password: string): Promise<Client> {
    const { status, body, text } = await this.post('/api/v1/auth/login', { email, password });
    if (status !== 200) throw new Error(`cannot sign in: ${text}`);
    const signedIn = new Client(this.url, body);
    return new Client(this.url, body, (await signedIn.get('/api/v1/users/me')).body.id);
  }

  get(path: string, headers: RequestHeaders = {}): Promise<Response> {
    return this.send('GET', path, undefined, headers);
  }
  post(path: string, body?: unknown, headers: RequestHeaders = {}): Promise<Response> {
    return this.send('POST', path, body, headers);
  }
  put(path: string, body: unknown, headers: RequestHeaders = {}): Promise<Response> {
    return this.send('PUT', path, body, headers);
  }
  patch(path: string, body: unknown, headers: RequestHeaders = {}): Promise<Response> {
    return this.send('PATCH', path, body, headers);
  }
  delete(path: string, headers: RequestHeaders = {}): Promise<Response> {
    return this.send('DELETE', path, undefined, headers);
  }

  /** Text and bytes are sent as they are, anything else as JSON. */
  async send(method: string, path: string, body: unknown, headers: RequestHeaders = {}): Promise<Response> {
    const isRaw = typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(this.url + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.tokens ? { authorization: `Bearer ${this.tokens.accessToken}` } : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: isRaw ? (body as string) : JSON.stringify(body) }),
    });
    const text = await response.text();
    const unsaid = drift(method, path, response.status, response.headers, text);
    if (unsaid.length > 0) throw new Error(`the answer is not what openapi.json says:\n${unsaid.join('\n')}\n${text}`);
    const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '');
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: isJson && text !== '' ? JSON.parse(text) : undefined,
    };
  }
}
