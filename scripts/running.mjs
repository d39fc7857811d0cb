// A running Floodgate, for scripts that call its API.
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';

if (existsSync('.env')) process.loadEnvFile();

/** The part of names that differs from run to run. */
export const suffix = randomBytes(3).toString('hex');

/** @param url where it is; without one, where `npm start` is by PORT */
export const urlOf = (url) => url ?? `http://localhost:${process.env.PORT || 3000}`;

/** The API at `base`. A call gives the parsed answer. @throws Error with the problem's detail for any status but 2xx */
export const apiAt = (base) =>
  async function call(method, path, { body, token, ...init } = {}) {
    const response = await fetch(base + path, {
      method,
      headers: {
        ...(body ? { 'content-type': 'application/json' } : {}),
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...init.headers,
      },
      body: body ? JSON.stringify(body) : init.stream,
      ...(init.stream ? { duplex: 'half' } : {}),
    });
    const text = await response.text();
    const answer = text && JSON.parse(text);
    if (!response.ok) throw new Error(`${method} ${path} was answered ${response.status}: ${answer.detail}`);
    return answer;
  };

/** @throws Error that says what to do when nothing answers at `base` */
export async function assertRunning(base) {
  await apiAt(base)('GET', '/health/ready').catch((error) => {
    throw new Error(
      `Floodgate does not answer at ${base} (${error.cause?.code ?? error.cause?.message ?? error.message}): run npm start first.`,
    );
  });
}

/** Registers a new user and signs in. @param name begins the email address */
export async function signUp(call, name) {
  const credentials = { email: `${name}-${suffix}@example.com`, password: randomBytes(12).toString('base64url') };
  await call('POST', '/api/v1/auth/register', { body: { ...credentials, name } });
  const { accessToken: token } = await call('POST', '/api/v1/auth/login', { body: credentials });
  return { email: credentials.email, token };
}
