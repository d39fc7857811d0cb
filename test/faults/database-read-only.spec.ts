import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Alone, startAlone } from '../support/alone.js';
import { ADMIN } from '../support/app.js';
import type { Response } from '../support/client.js';
import { makeCollection, makeRecord, until } from '../support/collections.js';
import { Ledger, type Outcome } from '../support/ledger.js';
import { newcomers } from '../support/newcomers.js';
import { expectProblem } from '../support/problem.js';
import { expectUnharmed, pause } from '../support/process.js';
import { inMs, quantile, row } from '../support/row.js';
import { TestServer } from '../support/standby.js';

const isFailure = ({ status }: Outcome) => status === 0 || status >= 500;
const isRead = ({ what }: Outcome) => what.startsWith('GET');

let app: Alone;

interface Asked {
  reads: (() => Promise<Response>)[];
  writes: (() => Promise<Response>)[];
}

/** All reads and all writes; a record needs more room than is left on any page of the table. */
async function everything(): Promise<Asked> {
  const { admin, anyone } = app;
  const set = await makeCollection(admin, 'public', 'full');
  const data = () => ({ text: randomBytes(25_000).toString('hex') });
  const { path, etag } = await makeRecord(admin, set, data());
  return {
    reads: [
      () => anyone.get(path),
      () => anyone.get(set.path),
      () => anyone.get('/api/v1/data'),
      () => anyone.get(set.records),
      () => anyone.get(`${set.records}/export`),
      () => anyone.get(`${set.path}/stats?bucket=day`),
      () => admin.get('/api/v1/users/me'),
      () => anyone.get('/health/ready'),
    ],
    writes: [
      () => admin.post(set.records, { data: data() }),
      () => admin.post(set.records, { data: data() }, { 'idempotency-key': 'full' }),
      () => admin.put(path, { data: data() }, { 'if-match': etag }),
      () =>
        admin.post(
          `${set.records}/bulk`,
          Array.from({ length: 10 }, () => ({ data: data() })),
        ),
      () => admin.post(`${set.records}/bulk?atomic=true`, [{ data: data() }]),
    ],
  };
}

/** Makes writes impossible for a while under load, and then possible again. */
async function survive({ reads, writes }: Asked, fault: () => Promise<unknown>, mend: () => Promise<unknown>) {
  const { program, database } = app;
  const ledger = await Ledger.open(await Promise.all(Array.from({ length: 4 }, newcomers(app.anyone))));
  await pause(2000);
  const begun = Date.now();
  await fault();
  const stored = async () =>
    (
      await database.query<{ n: number }>(
        'SELECT max(length(data::text)) AS n, count(*) FROM records WHERE length(data::text) > 40000',
      )
    )[0];
  const before = await stored();
  for (let round = 0; round < 3; round++) {
    for (const ask of writes) expectProblem(await ask(), 'temporary-reduced-capacity');
    for (const ask of reads) expect((await ask()).status).toBe(200);
    await pause(300);
  }
  expect(await stored()).toEqual(before);
  const mended = Date.now();
  await mend();
  await until(async () => (await (writes[0] as Asked['writes'][0])()).status === 201, 10);
  const settled = Date.now();
  for (const ask of writes) expect((await ask()).status).toBeLessThan(300);
  await pause(2000);
  expect(await ledger.settle(database)).toEqual([]);
  expect(ledger.count((one) => isFailure(one) && (isRead(one) || one.at + one.ms < begun))).toBe(0);
  expect(ledger.count(isFailure, settled)).toBe(0);
  expectUnharmed(program);
  return {
    'p99 before': inMs(quantile(ledger.times(0, begun), 0.99)),
    'p99 during': inMs(quantile(ledger.times(begun, mended), 0.99)),
    'writes refused': ledger.count(isFailure),
    'reads answered meanwhile': ledger.count(isRead, begun, mended),
    'writing again in': inMs(settled - mended),
    acknowledged: ledger.acknowledged,
  };
}

row(18, 'read-only', async () => {
  const server = await TestServer.start();
  app = await startAlone({}, server);
  try {
    const asked = await everything();
    const { admin, anyone } = app;
    asked.writes.push(
      () => anyone.post('/api/v1/auth/login', ADMIN),
      () => anyone.post('/api/v1/auth/refresh', { refreshToken: admin.tokens?.refreshToken }),
      () => anyone.post('/api/v1/auth/register', { ...ADMIN, email: 'late@example.com', name: 'L' }),
      () => admin.put('/api/v1/data/new', { visibility: 'public' }),
    );
    const set = async (value: 'on' | 'off') => {
      await server.query(`ALTER SYSTEM SET default_transaction_read_only = ${value}`);
      await server.query('SELECT pg_reload_conf()');
      // Each session learns of the setting before its next statement.
      await pause(500);
    };
    return await survive(
      asked,
      () => set('on'),
      () => set('off'),
    );
  } finally {
    await app.close();
  }
});

row(18, 'its disk full', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-disk-'));
  chmodSync(folder, 0o755);
  const isOwn = mountSmall(folder);
  const server = await TestServer.start(join(folder, 'server'), false);
  app = await startAlone({}, server);
  try {
    const asked = await everything();
    const filler = join(folder, 'filler');
    const fill = async () => {
      // The write-ahead log then has a whole free segment, and needs no more room.
      await server.query('SELECT pg_switch_wal()');
      await server.query('CHECKPOINT');
      const { bavail, bsize } = statfsSync(folder);
      writeFileSync(filler, Buffer.alloc(bavail * bsize));
    };
    const [fault, mend] = isOwn
      ? [fill, async () => rmSync(filler)]
      : [() => server.query(PRETEND), () => server.query('DROP TRIGGER no_room ON records')];
    const disk = isOwn ? 'really full' : 'full by the word of a trigger: no right to mount one';
    return { disk, ...(await survive(asked, fault, mend)) };
  } finally {
    await app.close();
    if (isOwn) execFileSync('umount', [folder]);
    rmSync(folder, { recursive: true, force: true });
  }
});

/** Mounts a small disk, which only root may do. @returns whether it worked */
function mountSmall(folder: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256m,mode=755', 'tmpfs', folder], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Raises the error of a full disk. */
const PRETEND = `
  CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room' USING ERRCODE = '53100'; END $$;
  CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON records FOR EACH ROW
    WHEN (length(NEW.data::text) > 40000) EXECUTE FUNCTION no_room()`;
