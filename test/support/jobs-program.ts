import { createDatabase, type TestDatabase } from './database.js';
import { Program, productionSettings } from './process.js';

/** What a job of the program has noted. */
export interface Note {
  job: string;
  name: 'note' | 'alone' | 'tick';
  n: number;
  attempt: number;
  what: 'begun' | 'done';
  pid: number;
  at: Date;
}

const TABLE = `
  CREATE TABLE IF NOT EXISTS notes (job uuid, name text, n integer, attempt integer, what text, pid integer,
    at timestamptz DEFAULT clock_timestamp())`;

/** The built app with jobs, as a process. */
export const startJobs = (url: string, settings: Record<string, string> = {}): Program =>
  new Program('../test/support/app-with-jobs.mjs', { ...productionSettings(url), ...settings });

/** An empty database with the table of notes. */
export async function databaseOfNotes(): Promise<TestDatabase> {
  const database = await createDatabase();
  await makeNotes(database);
  return database;
}

export const makeNotes = (database: TestDatabase) => database.query(TABLE);

export const notesOf = (database: TestDatabase, where = 'true') =>
  database.query<Note>(`SELECT * FROM notes WHERE ${where} ORDER BY at`);

/** Enqueues by SQL, as pg-boss does: `count` jobs numbered from 1. */
export const enqueue = (database: TestDatabase, count: number, payload: object = {}, name = 'test.note') =>
  database.query(
    `INSERT INTO pgboss.job (name, data, policy, retry_limit, retry_delay, retry_delay_max, retry_backoff, dead_letter,
       heartbeat_seconds, expire_seconds)
     SELECT q.name, json_build_object('payload', ($2::jsonb || jsonb_build_object('n', n))::text), q.policy, q.retry_limit,
       q.retry_delay, q.retry_delay_max, q.retry_backoff, q.dead_letter, q.heartbeat_seconds, q.expire_seconds
     FROM pgboss.queue q, generate_series(1, $3) n WHERE q.name = $1`,
    [name, JSON.stringify(payload), count],
  );
