import type { Client } from '../support/client.js';
import { makeCollection, makeRecord } from '../support/collections.js';

const TICK_MS = 20;
const PROBES_PER_SECOND = 10;

interface Request extends RequestInit {
  path: string;
  /** Its weight in the autoscalers' queries. */
  weight: number;
}

/** Callers at a steady rate, and probes like a kubelet's, only more frequent. */
export class Load {
  /** The time of each answer to a caller, in Unix seconds, and its weight, by process. */
  private readonly answered = new Map<string, { at: number; weight: number }[]>();
  private readonly open = new Set<Promise<void>>();
  private readonly timers: NodeJS.Timeout[] = [];

  /** Sends reads of a record, of a list and of a missing record, and creations of records. */
  static async start(admin: Client, processes: { url: string; perSecond: number }[]): Promise<Load> {
    const set = await makeCollection(admin, 'public', 'loaded');
    const record = { path: (await makeRecord(admin, set)).path, weight: 0.25 };
    const made: Request = {
      path: set.records,
      weight: 1,
      method: 'POST',
      headers: { authorization: `Bearer ${admin.tokens?.accessToken}`, 'content-type': 'application/json' },
      body: '{"data":{"n":1}}',
    };
    const some = [
      record,
      record,
      { path: `${set.records}?limit=5`, weight: 1 },
      made,
      { path: `${set.records}/nothing`, weight: 0.25 },
    ];
    const load = new Load();
    for (const { url, perSecond } of processes) {
      const times: { at: number; weight: number }[] = [];
      load.answered.set(url, times);
      load.each(perSecond, async (number) => {
        const { path, weight, ...init } = some[number % some.length] as Request;
        await fetch(url + path, init).then((response) => response.arrayBuffer());
        times.push({ at: Date.now() / 1000, weight });
      });
      load.each(PROBES_PER_SECOND, async () => void (await fetch(`${url}/health/ready`)).body?.cancel());
    }
    return load;
  }

  /** The weighted requests of callers that a process answered per second, in this many seconds before a time. */
  rate(url: string, until: number, seconds: number): number {
    const within = (this.answered.get(url) ?? []).filter(({ at }) => at > until - seconds && at <= until);
    return within.reduce((sum, { weight }) => sum + weight, 0) / seconds;
  }

  async stop(): Promise<void> {
    for (const timer of this.timers) clearInterval(timer);
    await Promise.all(this.open);
  }

  /** Sends this many a second, whether or not they are answered, and catches up on late ones. */
  private each(perSecond: number, send: (number: number) => Promise<unknown>): void {
    const began = Date.now();
    let sent = 0;
    const tick = () => {
      for (const due = ((Date.now() - began) * perSecond) / 1000; sent < due; sent++) {
        // A failed request was not answered, and does not count.
        const sending = send(sent)
          .then(ignore, ignore)
          .finally(() => this.open.delete(sending));
        this.open.add(sending);
      }
    };
    this.timers.push(setInterval(tick, TICK_MS));
  }
}

function ignore(): void {}
