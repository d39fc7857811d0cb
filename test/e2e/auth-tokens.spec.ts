import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose';
import { ADMIN, startApp, type TestApp } from '../support/app.js';

const JWKS = '/.well-known/jwks.json';
const ISSUER = 'https://floodgate.example.com';
const AUDIENCE = 'tests';
const EXPECTED = { issuer: ISSUER, audience: AUDIENCE, typ: 'at+jwt' };

const pemOf = (key: KeyObject) =>
  key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString();
const kidOf = async (key: KeyObject) => calculateJwkThumbprint(await exportJWK(key));
const ed25519 = () => generateKeyPairSync('ed25519');
const p256 = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

const current = ed25519();
const nextKey = p256();
const lastKey = ed25519();

let app: TestApp;
let claims: JWTPayload;
let kid: string;
beforeAll(async () => {
  app = await startApp({
    PUBLIC_URL: ISSUER,
    JWT_AUDIENCE: AUDIENCE,
    JWT_PRIVATE_KEY: pemOf(current.privateKey),
    JWT_OTHER_PUBLIC_KEYS: pemOf(nextKey.publicKey) + pemOf(lastKey.publicKey),
  });
  claims = decodeJwt(app.admin.tokens?.accessToken as string);
  kid = await kidOf(current.publicKey);
});
afterAll(() => app?.close());

const now = () => Math.floor(Date.now() / 1000);
/** A token like the real one with the given claims and header changed; undefined removes one. */
const forge = (
  payload: JWTPayload = {},
  header: Record<string, unknown> = {},
  key: KeyObject | Uint8Array = current.privateKey,
) =>
  new SignJWT({ ...claims, ...payload }).setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid, ...header }).sign(key);

const me = (authorization: string) => app.client.get('/api/v1/users/me', { authorization });

describe('an access token', () => {
  it('has the claims and the header that RFC 9068 requires, and lives 15 minutes at most', () => {
    expect(decodeProtectedHeader(app.admin.tokens?.accessToken as string)).toEqual({
      alg: 'EdDSA',
      typ: 'at+jwt',
      kid,
    });
    expect(claims).toMatchObject({ iss: ISSUER, aud: AUDIENCE, sub: app.admin.userId, role: 'admin' });
    const { iat, exp } = claims as { iat: number; exp: number };
    expect(exp - iat).toBeGreaterThan(0);
    expect(exp - iat).toBeLessThanOrEqual(900);
  });

  it('is accepted with the scheme in any case', async () => {
    const token = await forge();
    for (const scheme of ['Bearer', 'bearer', 'BEARER']) expect((await me(`${scheme} ${token}`)).status).toBe(200);
  });

  it('is still accepted within 30 s after its expiry, and from a clock 30 s ahead', async () => {
    expect((await me(`Bearer ${await forge({ exp: now() - 20 })}`)).status).toBe(200);
    expect((await me(`Bearer ${await forge({ nbf: now() + 20 })}`)).status).toBe(200);
  });

  it.each(['Basic YWRtaW46YWRtaW4=', 'Bearer', 'Bearer ', 'Token abc', 'Bearer a b'])(
    'answers 401 with invalid_token to Authorization: %s',
    async (authorization) => {
      const { status, headers } = await me(authorization);
      expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
    },
  );

  it('answers 401 with a plain challenge when the token is missing', async () => {
    for (const path of ['/api/v1/users/me', '/api/v1/users', `/api/v1/users/${app.admin.userId}`]) {
      const { status, headers, body } = await app.client.get(path);
      expect([path, status, headers.get('www-authenticate')]).toEqual([path, 401, 'Bearer']);
      expect(body.type).toBe('urn:problem-type:floodgate:invalid-token');
    }
  });

  it('is refused when it is bad, even on a route that needs none', async () => {
    const authorization = `Bearer ${await forge({ aud: 'others' })}`;
    const answers = [
      await app.client.get('/health/live', { authorization }),
      await app.client.post('/api/v1/auth/login', ADMIN, { authorization }),
    ];
    for (const { status, headers } of answers)
      expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer error="invalid_token"']);
  });
});

describe('the published keys', () => {
  it('are enough to verify a real access token, and may be cached', async () => {
    const keys = createRemoteJWKSet(new URL(app.url + JWKS));
    const { payload } = await jwtVerify(app.admin.tokens?.accessToken as string, keys, EXPECTED);
    expect(payload.sub).toBe(app.admin.userId);
    const { headers } = await app.client.get(JWKS);
    expect(headers.get('cache-control')).toMatch(/^public, max-age=[1-9]\d*$/);
  });

  it('are the current one and the others, without private parts, and tokens of each are accepted', async () => {
    const { body } = await app.client.get(JWKS);
    expect(body.keys).toEqual(
      await Promise.all(
        [current, nextKey, lastKey].map(async ({ publicKey }) => ({
          ...(await exportJWK(publicKey)),
          kid: await kidOf(publicKey),
          alg: publicKey.asymmetricKeyType === 'ec' ? 'ES256' : 'EdDSA',
          use: 'sig',
        })),
      ),
    );
    expect(body.keys.some((key: object) => 'd' in key)).toBe(false);
    for (const [alg, { publicKey, privateKey }] of [
      ['ES256', nextKey],
      ['EdDSA', lastKey],
    ] as const) {
      const token = await forge({}, { alg, kid: await kidOf(publicKey) }, privateKey);
      expect([alg, (await me(`Bearer ${token}`)).status]).toEqual([alg, 200]);
    }
  });

  it('may be P-256 keys, whose tokens are signed with ES256', async () => {
    const other = await startApp({ JWT_PRIVATE_KEY: pemOf(p256().privateKey) });
    try {
      const token = other.admin.tokens?.accessToken as string;
      const keys = createLocalJWKSet((await other.client.get(JWKS)).body);
      const { protectedHeader } = await jwtVerify(token, keys, {
        issuer: 'http://localhost:3000',
        audience: 'floodgate',
      });
      expect(protectedHeader).toMatchObject({ alg: 'ES256', typ: 'at+jwt' });
      expect((await other.admin.get('/api/v1/users/me')).status).toBe(200);
      const foreign = await me(`Bearer ${token}`);
      expect(foreign.status).toBe(401);
    } finally {
      await other.close();
    }
  });
});
