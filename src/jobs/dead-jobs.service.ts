import { Injectable } from '@nestjs/common';
import { Database } from '../platform/database/database.js';
import { notFound, Problem } from '../platform/http/problem.js';
import { DEAD } from '../platform/jobs/job-queues.js';
import { Jobs } from '../platform/jobs/jobs.js';
import { Cursors } from '../platform/resource/cursor.js';
import { PAGE_BYTES, type Page } from '../platform/resource/page.js';
import { momentOf } from '../platform/resource/table.js';
import type { DeadJobQuery } from './dead-job.schema.js';

/** Newest first. Each was put into the queue of dead jobs when it died, and is due since. */
const LIST = `
  SELECT start_after::text AS at, id, json_build_object('id', id, 'job', source_name, 'payload', (data->>'payload')::json,
    'error', coalesce(source_output->>'message', source_output #>> '{value,message}'), 'attempts', source_retry_count + 1, 'enqueuedAt', ${momentOf('source_created_on')},
    'diedAt', ${momentOf('start_after')})::text AS json
  FROM pgboss.job
  WHERE name = '${DEAD}' AND state = 'created' AND blocked = false AND ($2::text IS NULL OR source_name = $2)
    AND ($3::text IS NULL OR (start_after, id) < ($3::timestamptz, $4::uuid))
  ORDER BY start_after DESC, id DESC LIMIT $1`;
const TAKE = `
  DELETE FROM pgboss.job WHERE name = '${DEAD}' AND id = $1
  RETURNING source_name AS job, data, singleton_key AS key`;

@Injectable()
export class DeadJobsService {
  constructor(
    private readonly database: Database,
    private readonly jobs: Jobs,
    private readonly cursors: Cursors,
  ) {}

  /** @throws Problem invalid-request for a cursor of another list */
  async list({ limit, cursor, job }: DeadJobQuery): Promise<Page> {
    const scope = JSON.stringify(['dead jobs', job]);
    const [at = null, id = null] = cursor === undefined ? [] : this.cursors.open(cursor, scope);
    const asked = [limit + 1, job ?? null, at, id];
    const rows = await this.database.rows<Record<'json' | 'at' | 'id', string>>({ text: LIST }, asked);
    let bytes = 0;
    const fit = rows.slice(0, limit).filter(({ json }, place) => {
      bytes += json.length;
      return place === 0 || bytes <= PAGE_BYTES;
    });
    const last = fit.at(-1);
    const nextCursor = last && rows.length > fit.length ? this.cursors.seal([last.at, last.id], scope) : null;
    return { items: fit.map(({ json }) => json), nextCursor };
  }

  /** Enqueues it anew, with all its attempts. @throws Problem not-found, conflict when its policy lets none be added */
  retry(id: string): Promise<{ id: string; job: string }> {
    return this.database.transaction(async (manager) => {
      const [[dead]] = await manager.query<[{ job: string; data: object; key: string | null }[]]>(TAKE, [id]);
      if (!dead) throw notFound('There is no dead job with this id.');
      const { job, data, key } = dead;
      const again = { data, ...(key !== null && { singletonKey: key }) };
      const options = { db: this.jobs.within(manager), returnId: true };
      const [made] = (await this.jobs.boss.insert(job, [again], options)) ?? [];
      if (made === undefined) throw new Problem('conflict', 'A job like this one waits already.');
      return { id: made, job };
    });
  }
}
