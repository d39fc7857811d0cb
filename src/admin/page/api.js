// The app's own API, as an admin uses it.

/** Where the app is: behind a proxy, perhaps below a path. */
const ROOT = new URL('..', import.meta.url);
/** Kept for this tab, until it is closed. */
const KEPT = 'floodgate-tokens';

let tokens = JSON.parse(sessionStorage.getItem(KEPT));
let underWay;

export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const isSignedIn = () => tokens !== null;

function keep(given) {
  tokens = given;
  if (given) sessionStorage.setItem(KEPT, JSON.stringify(given));
  else sessionStorage.removeItem(KEPT);
}

/** @throws Refusal for any other status than 2xx, and when nothing answers */
async function send(path, { body, token } = {}) {
  const headers = {
    ...(token && { authorization: `Bearer ${token}` }),
    ...(body && { 'content-type': 'application/json' }),
  };
  const options = { method: body ? 'POST' : 'GET', headers, body: body && JSON.stringify(body) };
  const response = await fetch(new URL(path, ROOT), options).catch(() => {
    throw new Refusal(0, 'The app does not answer.');
  });
  const text = await response.text();
  if (response.ok) return text;
  throw new Refusal(response.status, sentenceOf(text) ?? `The app answered with status ${response.status}.`);
}

/** What a problem document says; undefined when a proxy answered something else. */
function sentenceOf(text) {
  try {
    const { detail, title, errors = [] } = JSON.parse(text);
    return [detail ?? title, ...errors.map(({ pointer, detail }) => `${pointer} ${detail}`)].join(' ');
  } catch {
    return undefined;
  }
}

/** A number whose digits a double cannot hold stays as it was written. */
const exact = (_name, value, { source }) =>
  typeof value === 'number' && JSON.rawJSON && String(value) !== source ? JSON.rawJSON(source) : value;

/** @throws Refusal when the caller is no admin */
export async function signIn(email, password) {
  keep(JSON.parse(await send('api/v1/auth/login', { body: { email, password } })));
  const user = await whoAmI();
  if (user.role === 'admin') return;
  await signOut();
  throw new Refusal(403, `${user.email} is not an admin.`);
}

export const whoAmI = () => read('api/v1/users/me');

export async function signOut() {
  const { refreshToken } = tokens ?? {};
  keep(null);
  if (refreshToken) await send('api/v1/auth/logout', { body: { refreshToken } }).catch(() => undefined);
}

/** Those who need the next tokens at the same time share them: each is good once. */
function refresh() {
  underWay ??= send('api/v1/auth/refresh', { body: { refreshToken: tokens.refreshToken } })
    .then((text) => keep(JSON.parse(text)))
    .finally(() => {
      underWay = undefined;
    });
  return underWay;
}

/** What a path of the API says. @throws Refusal with status 401 when the session has ended */
export async function read(path, query = {}) {
  const target = `${path}?${new URLSearchParams(query)}`;
  try {
    return JSON.parse(await send(target, { token: tokens?.accessToken }), exact);
  } catch (error) {
    if (error.status !== 401 || !tokens) throw error;
  }
  try {
    await refresh();
    return JSON.parse(await send(target, { token: tokens?.accessToken }), exact);
  } catch (error) {
    if (error.status === 401) keep(null);
    throw error;
  }
}

/** The figures of the process that answers, or of all workers behind its port, as Prometheus reads them. */
export const readFigures = () => send('metrics');
