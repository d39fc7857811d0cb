import cluster, { type Worker } from 'node:cluster';
import { type MetricObjectWithValues, type MetricValue, register } from 'prom-client';

export type Figures = MetricObjectWithValues<MetricValue<string>>[];

/** A message between workers, which the primary passes on. */
interface Message {
  /** The id of the worker that asks. */
  metricsFor?: number;
  /** The number of the question. */
  asking: number;
  /** How many workers were asked. */
  asked?: number;
  /** The figures of one worker. */
  figures?: Figures;
}

/** How long to wait for other workers: figures without one that is just starting or ending are still useful. */
const WAIT_MS = 500;

let asking = 0;
const waiting = new Map<number, (message: Message) => void>();

if (cluster.isWorker) {
  process.on('message', async (message: Message) => {
    if (message.metricsFor === undefined) return waiting.get(message.asking)?.(message);
    // At the end of a stop, some can no longer be read.
    const figures = await register.getMetricsAsJSON().catch(() => []);
    if (process.connected) process.send?.({ ...message, figures });
  });
}

/** The figures of this process, and those of the other workers if there are any. */
export async function allMetrics(): Promise<Figures[]> {
  const own = await register.getMetricsAsJSON();
  // In a single process, no metric is omitted for having no meaningful sum.
  if (!cluster.isWorker) return [own.map((metric) => ({ ...metric, aggregator: 'first' }))];
  const number = ++asking;
  const all = [own];
  return new Promise((resolve) => {
    let asked = Number.POSITIVE_INFINITY;
    const end = () => {
      clearTimeout(timer);
      waiting.delete(number);
      resolve(all);
    };
    const timer = setTimeout(end, WAIT_MS);
    waiting.set(number, (message) => {
      asked = message.asked ?? asked;
      if (message.figures) all.push(message.figures);
      if (all.length > asked) end();
    });
    process.send?.({ asking: number });
  });
}

/** Passes messages between workers; for the primary. */
export function relayMetrics(): void {
  cluster.on('message', (from: Worker, message: Message) => {
    if (message.metricsFor !== undefined) {
      cluster.workers?.[message.metricsFor]?.send({ ...message, metricsFor: undefined });
      return;
    }
    const others = Object.values(cluster.workers ?? {}).filter((worker) => worker !== from && worker?.isConnected());
    for (const worker of others) worker?.send({ ...message, metricsFor: from.id });
    from.send({ ...message, asked: others.length });
  });
}
