import { readFileSync } from 'node:fs';
import createClient, { type Client } from 'openapi-fetch';
import type { operations, paths } from '../../client/openapi.js';
import { drift } from '../support/document.js';

/** A client whose types come from openapi.json alone (npm run client). */
export type Api = Client<paths>;

/** Every operation with every status that it was answered with. */
const walked = new Set<string>();

const USUAL = ['200', '201', '204', '304', '400', '401', '403', '404', '409', '412', '422', '428'];

/** Statuses that need more than one call, and have tests of their own. */
const UNUSUAL: Record<string, string[]> = {
  // A request with the same Idempotency-Key is still running.
  '409': ['createRecord', 'createRecords'],
  // Odd bytes in an address that has no parameter.
  '400': ['getMe', 'getJwks', 'getLiveness', 'getReadiness', 'getStartup', 'getMetrics'],
};

/** The usual statuses that the document names and no answer has had. */
export function unwalked(): string[] {
  const { paths }: { paths: Record<string, Record<string, { operationId: string; responses: object }>> } = JSON.parse(
    readFileSync('openapi.json', 'utf8'),
  );
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).flatMap(([method, { operationId, responses }]) =>
      Object.keys(responses)
        .filter((status) => USUAL.includes(status) && !UNUSUAL[status]?.includes(operationId))
        .map((status) => `${method.toUpperCase()} ${path} ${status}`)
        .filter((answer) => !walked.has(answer)),
    ),
  );
}

/** @param forgets a header that this client leaves out, which its types would not allow */
export function createApi(baseUrl: string, accessToken?: string, forgets?: string): Api {
  const api = createClient<paths>({ baseUrl });
  api.use({
    onRequest({ request }) {
      if (accessToken) request.headers.set('authorization', `Bearer ${accessToken}`);
      if (forgets) request.headers.delete(forgets);
    },
    async onResponse({ request, response, schemaPath }) {
      walked.add(`${request.method} ${schemaPath} ${response.status}`);
      const path = request.url.slice(baseUrl.length);
      const text = await response.clone().text();
      const unsaid = drift(request.method, path, response.status, response.headers, text);
      if (unsaid.length > 0) throw new Error(unsaid.join('\n'));
    },
  });
  return api;
}

/** The answer's entity tag, as a change needs it. */
export const ifMatch = (response: Response) => ({ 'if-match': given(response.headers.get('etag')) });

/** What the operations are tried on. */
export interface Place {
  id: string;
  collection: string;
  record: string;
  /** Entity tag for If-Match. */
  tag: string;
  /** Entity tag for If-None-Match. */
  seen?: string;
}

export type Operations = Record<keyof operations, () => Promise<{ response: Response }>>;

/** Every operation once, as a valid call: the compiler misses one that is not here. */
export function everything(api: Api, { id, collection, record, tag, seen }: Place): Operations {
  const header = { 'if-match': tag };
  const known = { header: seen ? { 'if-none-match': seen } : {} };
  const all = { params: { path: { collection } } };
  const changed = { params: { path: { collection, id: record }, header } };
  const credentials = { email: 'nobody@example.com', password: 'password-of-nobody' };
  return {
    register: () => api.POST('/api/v1/auth/register', { body: { ...credentials, name: 'Nobody' } }),
    login: () => api.POST('/api/v1/auth/login', { body: credentials }),
    refresh: () => api.POST('/api/v1/auth/refresh', { body: { refreshToken: 'none' } }),
    logout: () => api.POST('/api/v1/auth/logout', { body: { refreshToken: 'none' } }),
    getJwks: () => api.GET('/.well-known/jwks.json'),
    listUsers: () => api.GET('/api/v1/users'),
    getMe: () => api.GET('/api/v1/users/me', { params: known }),
    getUser: () => api.GET('/api/v1/users/{id}', { params: { path: { id }, ...known } }),
    updateUser: () => api.PATCH('/api/v1/users/{id}', { params: { path: { id }, header }, body: { name: 'New Name' } }),
    deleteUser: () => api.DELETE('/api/v1/users/{id}', { params: { path: { id }, header } }),
    listCollections: () => api.GET('/api/v1/data'),
    putCollection: () =>
      api.PUT('/api/v1/data/{collection}', {
        params: { path: { collection }, header },
        body: { visibility: 'public', description: null },
      }),
    getCollection: () => api.GET('/api/v1/data/{collection}', { params: { path: { collection }, ...known } }),
    deleteCollection: () => api.DELETE('/api/v1/data/{collection}', { params: { path: { collection }, header } }),
    createRecord: () => api.POST('/api/v1/data/{collection}/records', { ...all, body: { data: { km: 1 } } }),
    createRecords: () => api.POST('/api/v1/data/{collection}/records/bulk', { ...all, body: [{ data: { km: 1 } }] }),
    listRecords: () => api.GET('/api/v1/data/{collection}/records', all),
    getRecord: () =>
      api.GET('/api/v1/data/{collection}/records/{id}', { params: { path: { collection, id: record }, ...known } }),
    replaceRecord: () => api.PUT('/api/v1/data/{collection}/records/{id}', { ...changed, body: { data: { km: 2 } } }),
    patchRecord: () =>
      api.PATCH('/api/v1/data/{collection}/records/{id}', { ...changed, body: { data: { km: null } } }),
    deleteRecord: () => api.DELETE('/api/v1/data/{collection}/records/{id}', changed),
    exportRecords: () => api.GET('/api/v1/data/{collection}/records/export', { ...all, parseAs: 'text' }),
    getStats: () => api.GET('/api/v1/data/{collection}/stats', all),
    getLiveness: () => api.GET('/health/live'),
    getReadiness: () => api.GET('/health/ready'),
    getStartup: () => api.GET('/health/startup'),
    getMetrics: () => api.GET('/metrics', { parseAs: 'text' }),
  };
}

export type Names = readonly (keyof Operations)[];
export const READS: Names = ['getCollection', 'listRecords', 'getRecord', 'exportRecords', 'getStats'];
export const WRITES: Names = ['createRecord', 'createRecords', 'replaceRecord', 'patchRecord', 'deleteRecord'];
export const RECORD_CHANGES: Names = ['replaceRecord', 'patchRecord', 'deleteRecord'];
export const CHANGES: Names = ['updateUser', 'putCollection', ...RECORD_CHANGES, 'deleteCollection', 'deleteUser'];
/** What needs no token; with a bad one, these too are refused. */
export const FOR_ANYONE: Names = [
  'register',
  'login',
  'refresh',
  'logout',
  'getJwks',
  'listCollections',
  ...READS,
  'getLiveness',
  'getReadiness',
  'getStartup',
  'getMetrics',
];

export const ALL: Names = [
  ...FOR_ANYONE,
  ...WRITES,
  ...CHANGES.filter((name) => !RECORD_CHANGES.includes(name)),
  'listUsers',
  'getMe',
  'getUser',
];

/** The statuses of these calls, one after another, by operation. */
export async function statuses(operations: Operations, names: Names): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const name of names) found[name] = (await operations[name]()).response.status;
  return found;
}

/** The same status for all of these. */
export const allOf = (names: readonly string[], status: number) =>
  Object.fromEntries(names.map((name) => [name, status]));

/** What an answer must have; the compiler then knows that it has it. */
export function given<T>(value: T | null | undefined): T {
  if (value === undefined || value === null) throw new Error('the answer is not of the kind that was expected');
  return value;
}
