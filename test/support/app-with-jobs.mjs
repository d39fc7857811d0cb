// The built app with a module that has jobs: what it does with them is in the table `notes`.
import { setTimeout as sleep } from 'node:timers/promises';
import { Controller, Injectable, Module, Post } from '@nestjs/common';
import { z } from 'zod';
import { loadConfig } from '../../dist/config.js';
import { Database } from '../../dist/platform/database/database.js';
import { Anyone } from '../../dist/platform/http/caller.js';
import { defineJob, Job } from '../../dist/platform/jobs/definition.js';
import { Jobs } from '../../dist/platform/jobs/jobs.js';

const payload = z.object({ n: z.int(), ms: z.int().default(0), failures: z.int().default(0) });
const again = { retryLimit: 3, retryDelay: 1, retryDelayMax: 2 };
const note = defineJob({ name: 'test.note', payload, ...again });
const alone = defineJob({ name: 'test.alone', payload, ...again, policy: 'singleton' });
const tick = defineJob({ name: 'test.tick', payload: z.object({}), cron: '* * * * *' });

const WRITE = 'INSERT INTO notes (job, name, n, attempt, what, pid) VALUES ($1, $2, $3, $4, $5, $6)';

class Notes {
  constructor(database, jobs) {
    Object.assign(this, { database, jobs });
  }

  async write(name, { n = 0, ms = 0, failures = 0 }, { id, number, signal }) {
    const say = (what) => this.database.rows({ text: WRITE }, [id, name, n, number, what, process.pid]);
    await say('begun');
    await sleep(ms, undefined, { signal });
    if (number <= failures) throw new Error(`failed as told, in attempt ${number}`);
    await say('done');
  }

  note(given, attempt) {
    return this.write('note', given, attempt);
  }
  alone(given, attempt) {
    return this.write('alone', given, attempt);
  }
  tick(given, attempt) {
    return this.write('tick', given, attempt);
  }
  async ask() {
    return { id: await this.jobs.enqueue(note, { n: 1, failures: 1 }) };
  }
}

/** What TypeScript does with a class and its decorators. */
function decorate(of, method, decorator, ...parameters) {
  Reflect.defineMetadata('design:paramtypes', parameters, ...(method ? [of.prototype, method] : [of]));
  if (method) decorator(of.prototype, method, Object.getOwnPropertyDescriptor(of.prototype, method));
  else decorator(of);
}
for (const [method, job] of Object.entries({ note, alone, tick })) decorate(Notes, method, Job(job));
decorate(Notes, 'ask', Anyone());
decorate(Notes, 'ask', Post());
decorate(Notes, undefined, Controller('/api/v1/notes'), Database, Jobs);
class Worker extends Notes {}
decorate(Worker, undefined, Injectable(), Database, Jobs);
class NotesModule {}
Module({ controllers: [Notes], providers: [Worker] })(NotesModule);

const config = loadConfig();
const isTraced = config.OTEL_EXPORTER_OTLP_ENDPOINT !== undefined;
const otlp = isTraced ? (await import('../../dist/platform/otlp/otlp.js')).startOtlp(config) : undefined;
const { createApp } = await import('../../dist/app.js');
const app = await createApp(config, otlp, { modules: [NotesModule], migrations: [] });
process.once('SIGTERM', async () => {
  await app.stop();
  process.exit(0);
});
await app.listen();
