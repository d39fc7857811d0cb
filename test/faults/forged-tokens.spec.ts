import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { calculateJwkThumbprint, exportJWK } from 'jose';
import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { makeCollection, makeRecord } from '../support/collections.js';
import { createDatabase, type TestDatabase } from '../support/database.js';
import { endPrograms, productionSettings, startMain } from '../support/process.js';
import { row } from '../support/row.js';
import { forger, sharedSecret, signedBy } from '../support/tokens.js';

const pem = (key: KeyObject) =>
  key.export({ type: key.type === 'private' ? 'pkcs8' : 'spki', format: 'pem' }).toString();
/** One route that needs a token and two that do not; a record that the edge answers is added to them. */
const ROUTES = ['/api/v1/users/me', '/api/v1/data', '/.well-known/jwks.json'];
const kidOf = async (key: KeyObject) => calculateJwkThumbprint(await exportJWK(key));

const ours = generateKeyPairSync('ed25519');
const last = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const theirs = generateKeyPairSync('ed25519');
const theirEc = generateKeyPairSync('ec', { namedCurve: 'P-256' });

const databases: TestDatabase[] = [];
let app: Client;
let admin: Client;
/** Tokens of other deployments with our issuer: one with a key of its own, one with our key and users of its own. */
let others: Record<'other key' | 'other users', string>;
/** The server from which a forger's keys would be fetched. */
let keyServer: Server;
let fetched = 0;

async function start(settings: Record<string, string>): Promise<Client> {
  const database = await createDatabase();
  databases.push(database);
  const own = { PUBLIC_URL: 'https://api.example.com', ADMIN_EMAIL: ADMIN.email, ADMIN_PASSWORD: ADMIN.password };
  return new Client(await startMain({ ...productionSettings(database.url), ...own, ...settings }).url());
}
const signIn = (client: Client) => client.signIn(ADMIN.email, ADMIN.password);

beforeAll(async () => {
  const JWT_PRIVATE_KEY = pem(ours.privateKey);
  app = await start({ JWT_PRIVATE_KEY, JWT_OTHER_PUBLIC_KEYS: pem(last.publicKey) });
  admin = await signIn(app);
  const elsewhere = [await start({ JWT_PRIVATE_KEY: pem(theirs.privateKey) }), await start({ JWT_PRIVATE_KEY })];
  const [key, users] = (await Promise.all(elsewhere.map(signIn))).map(({ tokens }) => tokens?.accessToken as string);
  others = { 'other key': key as string, 'other users': users as string };
  keyServer = createServer((_, response) => {
    fetched++;
    void exportJWK(theirs.publicKey).then((jwk) => response.end(JSON.stringify({ keys: [jwk] })));
  }).listen(0, '127.0.0.1');
}, 60_000);
afterAll(async () => {
  await endPrograms();
  keyServer?.close();
  for (const database of databases) await database.drop();
});

/** All other texts that decode to the bytes of a token's signature: with other trailing bits, letters or padding. */
function respellings(token: string): string[] {
  const end = token.lastIndexOf('.') + 1;
  const [begun, signature] = [token.slice(0, end), token.slice(end)];
  const bytes = Buffer.from(signature, 'base64url');
  const texts = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].map(
    (last) => signature.slice(0, -1) + last,
  );
  texts.push(bytes.toString('base64'), `${signature}=`, `${signature}==`, `${signature}~`, `${signature}=A`);
  return texts
    .filter((text) => text !== signature && Buffer.from(text, 'base64url').equals(bytes))
    .map((text) => begun + text);
}

/** Every forgery by its name. */
async function forgeries(): Promise<Record<string, string>> {
  const real = admin.tokens?.accessToken as string;
  const forge = forger(real, signedBy(ours.privateKey));
  const now = Math.floor(Date.now() / 1000);
  const [header = '', payload = '', signature = ''] = real.split('.');
  const jwk = await exportJWK(ours.publicKey);
  const [theirJwk, theirKid] = [await exportJWK(theirs.publicKey), await kidOf(theirs.publicKey)];
  const keys = `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}/keys.json`;
  const byThem = signedBy(theirs.privateKey);
  const nothing = () => Buffer.alloc(0);
  const kids = ['', 'unknown', '../../../../dev/null', '/dev/null', "x' OR '1'='1", "x'; DROP TABLE users; --"];
  const oddKids = [theirKid, await kidOf(last.publicKey), '__proto__', 'constructor', keys, [], {}, 0, null, undefined];
  const secrets: Record<string, string | Buffer> = {
    PEM: pem(ours.publicKey),
    'PEM without its last line end': pem(ours.publicKey).trimEnd(),
    DER: ours.publicKey.export({ type: 'spki', format: 'der' }),
    JWK: JSON.stringify(jwk),
    "the JWK set's JWK": JSON.stringify((await app.get('/.well-known/jwks.json')).body.keys[0]),
    'the bytes of the key': Buffer.from(jwk.x as string, 'base64url'),
    nothing: '',
  };
  return Object.fromEntries([
    ...['none', 'None', 'NONE', 'nOnE', ''].flatMap((alg) => [
      [`alg: ${alg}`, forge({}, { alg }, nothing)],
      [`alg: ${alg} with a signature`, forge({}, { alg })],
    ]),
    ...Object.entries(secrets).map(([of, secret]) => [
      `HS256 by the public key: ${of}`,
      forge({}, { alg: 'HS256' }, sharedSecret(secret)),
    ]),
    ['HS256 under no kid', forge({}, { alg: 'HS256', kid: undefined }, sharedSecret(pem(ours.publicKey)))],
    ...['RS256', 'ES256', 'Ed25519', 'eddsa', undefined, ['EdDSA']].map((alg) => [`alg: ${alg}`, forge({}, { alg })]),
    ['ES256 by a key of theirs, as our last', forge({}, { alg: 'ES256' }, signedBy(theirEc.privateKey))],
    ['ES256 without a signature', forge({}, { alg: 'ES256', kid: oddKids[1] }, () => Buffer.alloc(64))],
    ['their key under our kid', forge({}, {}, byThem)],
    ...[...kids, ...oddKids].map((kid) => [`their key, kid: ${JSON.stringify(kid)}`, forge({}, { kid }, byThem)]),
    ...[...kids, ...oddKids].map((kid) => [`our key, kid: ${JSON.stringify(kid)}`, forge({}, { kid })]),
    ...[{ jwk: theirJwk }, { jku: keys }, { x5u: keys }, { x5c: ['MIIB'] }, { jku: keys, jwk: theirJwk }].flatMap(
      (where) =>
        [undefined, theirKid, theirJwk.kid].map((kid) => [
          `their key in the header: ${Object.keys(where)}, kid: ${kid}`,
          forge({}, { ...where, kid }, byThem),
        ]),
    ),
    ['an unknown critical member', forge({}, { crit: ['floodgate'], floodgate: 1 })],
    ['a missing critical member', forge({}, { crit: ['exp'] })],
    ['an unencoded payload', forge({}, { crit: ['b64'], b64: false })],
    ...['others', ['others'], [], '', undefined, 0, 'Floodgate'].map((aud) => [`aud: ${aud}`, forge({ aud })]),
    ...['https://api.example.com/', 'https://example.com', '', undefined, ['x']].map((iss) => [
      `iss: ${iss}`,
      forge({ iss }),
    ]),
    ...['JWT', 'rt+jwt', 'id+jwt', '', undefined, ['at+jwt']].map((typ) => [`typ: ${typ}`, forge({}, { typ })]),
    ...[now - 32, now - 86_400, 0, -1, undefined, null, 'never', String(now + 900)].map((exp) => [
      `exp: ${exp}`,
      forge({ exp }),
    ]),
    ...[now + 60, now + 86_400, 'x', 1e300].map((nbf) => [`nbf: ${nbf}`, forge({ nbf })]),
    ...[undefined, '', 0, {}, '019a0000-0000-7000-8000-000000000000', "' OR true --"].map((sid) => [
      `sid: ${sid}`,
      forge({ sid }),
    ]),
    ['no sub', forge({ sub: undefined })],
    ['signature stripped', `${header}.${payload}.`],
    ['signature and its dot stripped', `${header}.${payload}`],
    ['signature truncated', `${header}.${payload}.${signature.slice(0, -4)}`],
    ['signature doubled', `${real}${signature}`],
    ['signature all zeros', `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`],
    ...[real, forge({}, { alg: 'ES256', kid: oddKids[1] }, signedBy(last.privateKey))].flatMap((token) =>
      respellings(token).map((text, i) => [`signature in other words ${i}, ${token.slice(0, 20)}`, text]),
    ),
    ['signature of another payload', `${forge({ role: 'owner' }).replace(/[^.]+$/, '')}${signature}`],
    ['signature of another header', `${forge({}, { cty: 'JWT' }).replace(/[^.]+$/, '')}${signature}`],
    ['a fourth part', `${real}.x`],
    ['five parts', `${header}.x.x.${payload}.${signature}`],
    ['two dots', '..'],
    ['a refresh token', admin.tokens?.refreshToken],
    ['a token of a deployment with another key', others['other key']],
    ['a token of a deployment with our key and other users', others['other users']],
  ]);
}

row(38, '', async () => {
  const { path } = await makeRecord(admin, await makeCollection(admin, 'public'));
  const forge = forger(admin.tokens?.accessToken as string, signedBy(ours.privateKey));
  // Each forgery differs from these tokens in one respect.
  const good = [forge(), forge({}, { alg: 'ES256', kid: await kidOf(last.publicKey) }, signedBy(last.privateKey))];
  const all = await forgeries();
  const taken: string[] = [];
  const ask = async (name: string, token: string) => {
    for (const route of [...ROUTES, path]) {
      const { status, headers } = await app.get(route, { authorization: `Bearer ${token}` });
      const isRefused = status === 401 && headers.get('www-authenticate') === 'Bearer error="invalid_token"';
      if (!isRefused) taken.push(`${name}: ${status} at ${route}`);
    }
  };
  for (const token of good) expect((await app.get(path, { authorization: `Bearer ${token}` })).status).toBe(200);
  for (const [name, token] of Object.entries(all)) await ask(name, token);
  expect(taken).toEqual([]);
  expect(fetched).toBe(0);
  for (const token of good) expect((await app.get(path, { authorization: `Bearer ${token}` })).status).toBe(200);
  return { forgeries: Object.keys(all).length, 'each at': `${ROUTES.length + 1} routes`, 'keys fetched': fetched };
});
