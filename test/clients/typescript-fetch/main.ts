// Uses the client that openapi-generator has generated, and prints the results: main.js URL
import { AuthApi, Configuration, DataApi, type RecordInput, ResponseError, UsersApi } from './client/index';

declare const process: { argv: string[] };

async function main(basePath: string) {
  const auth = new AuthApi(new Configuration({ basePath }));
  const credentials = { email: 'ada@example.com', password: 'correct-horse-battery' };
  const user = await auth.register({ newUser: { ...credentials, name: 'Ada' } });
  const first = await auth.login({ credentials });
  const tokens = await auth.refresh({ refreshToken: { refreshToken: first.refreshToken } });
  const ada = new Configuration({ basePath, accessToken: tokens.accessToken });
  const data = new DataApi(ada);
  const me = await new UsersApi(ada).getMe();

  const collection = 'trips';
  await data.putCollection({ collection, collectionInput: { visibility: 'public' } });
  const recordInput = { data: { to: 'Oslo', km: 405, stops: ['Hamar', null, { at: 1.5 }] } };
  const made = await data.createRecord({ collection, recordInput });
  const statusOf = (error: unknown) => (error instanceof ResponseError ? error.response.status : 0);
  const patch = (ifMatch: string) =>
    data.patchRecord({ collection, id: made.id, ifMatch, recordPatch: { data: { km: 406, stops: null } } });
  const stale = await patch('"0-0"').then(() => 200, statusOf);
  const { raw } = await data.getRecordRaw({ collection, id: made.id });
  const patched = await patch(raw.headers.get('etag') ?? '');

  const towns = ['Rome', 'a'.repeat(70_000), 'Bergen', 'Turin'];
  const lines = towns.map((to): RecordInput => ({ data: { to } }));
  const bulk = await data.createRecords({ collection, recordInput: lines });

  const listed: unknown[] = [];
  let pages = 0;
  for (let cursor: string | null | undefined; cursor !== null; pages++) {
    const page = await data.listRecords({ collection, limit: 2, order: 'asc', ...(cursor ? { cursor } : {}) });
    listed.push(...page.items.map((item) => item.data.to));
    cursor = page.nextCursor;
  }
  // This client does not support NDJSON, but returns the raw answer.
  const exported = await (await data.exportRecordsRaw({ collection, order: 'asc' })).raw.text();
  const refused = await data.getRecord({ collection: 'nowhere', id: made.id }).then(
    () => 'found',
    async (error) => (await error.response.json()).type,
  );
  const journey = {
    registered: user.email,
    signedInAs: me.email,
    refreshed: tokens.refreshToken !== first.refreshToken,
    created: made.data,
    stale,
    patched: patched.data,
    bulk: { inserted: bulk.inserted, failed: bulk.failed, lines: bulk.errors.map(({ line }) => line) },
    pages,
    listed,
    exported: exported
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).data.to),
    refused,
  };
  console.log(JSON.stringify(journey));
}

main(process.argv[2] ?? '');
