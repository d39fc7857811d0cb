/** Who asks: nobody has no token; the owner is whose thing it is, and admins may see to everything. */
export const CALLERS = ['nobody', 'another user', 'the owner', 'an admin'] as const;
export type Caller = (typeof CALLERS)[number];

/** What it is about. What has no owner is about nothing. */
export type Target = 'nothing' | 'a user' | 'a private collection' | 'a public collection' | 'a new collection';
type Answers = readonly [nobody: number, another: number, owner: number, admin: number];

const all = (status: number): Answers => [status, status, status, status];
/** Who may not read a private collection is told that it is not there. */
const reading = (status = 200) => ({
  'a private collection': [404, 404, status, status] as const,
  'a public collection': all(status),
});
const writing = (status: number) => ({
  'a private collection': [401, 404, status, status] as const,
  'a public collection': [401, 403, status, status] as const,
});
const itself = (status: number) => ({ 'a user': [401, 403, status, status] as const });
const anyone = (status = 200) => ({ nothing: all(status) });

/** What each operation of openapi.json answers to whom. A new one needs a row. */
export const ACCESS: Record<string, Partial<Record<Target, Answers>>> = {
  register: anyone(201),
  login: anyone(),
  refresh: anyone(),
  logout: anyone(204),
  getJwks: anyone(),

  listUsers: { nothing: [401, 403, 403, 200] },
  getMe: { nothing: [401, 200, 200, 200] },
  getUser: itself(200),
  updateUser: itself(200),
  deleteUser: itself(204),

  listCollections: anyone(),
  getCollection: reading(),
  // To a stranger, a private collection is a name that is taken and nothing that could match.
  putCollection: {
    'a new collection': [401, 201, 201, 201],
    'a private collection': [401, 412, 200, 200],
    'a public collection': [401, 403, 200, 200],
  },
  deleteCollection: writing(204),

  listRecords: reading(),
  getRecord: reading(),
  exportRecords: reading(),
  getStats: reading(),
  createRecord: writing(201),
  createRecords: writing(200),
  replaceRecord: writing(200),
  patchRecord: writing(200),
  deleteRecord: writing(204),

  getLiveness: anyone(),
  getReadiness: anyone(),
  getStartup: anyone(),
  getMetrics: anyone(),
};

/** Every refusal comes before a byte of the body is taken, but for these: what is there under a name is looked at under its lock. */
export const BEHIND_THE_BODY: Record<string, readonly number[]> = { putCollection: [403, 412] };

/** The targets that a row must speak of, by the operation's path. */
export function targetsOf(path: string, method: string): Target[] {
  if (path.includes('{collection}')) {
    const isMaking = method === 'PUT' && path.endsWith('{collection}');
    return ['a private collection', 'a public collection', ...(isMaking ? ['a new collection' as const] : [])];
  }
  return path.includes('{id}') ? ['a user'] : ['nothing'];
}
