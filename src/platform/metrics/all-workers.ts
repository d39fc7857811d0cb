import cluster, { type Worker } from 'node:cluster';
import { type MetricObjectWithValues, type MetricValue, register } from 'prom-client';

export type Figures = MetricObjectWithValues<MetricValue<string>>[];

/** Between workers, by way of the primary: who asks, under which number; how many were asked, or what one of them has. */
interface Message {
  metricsFor?: number;
  asking: number;
  asked?: number;
  figures?: Figures;
}

/** How long a worker may take to answer: without one that is just starting or ending, the figures are still of use. */
const WAIT_MS = 500;

let asking = 0;
const waiting = new Map<number, (message: Message) => void>();

if (cluster.isWorker) {
  process.on('message', async (message: Message) => {
    if (message.metricsFor === undefined) return waiting.get(message.asking)?.(message);
    process.send?.({ ...message, figures: await register.getMetricsAsJSON() });
  });
}

/** The figures of this process, and of the other workers, if it is one. */
export async function allMetrics(): Promise<Figures[]> {
  const own = await register.getMetricsAsJSON();
  // Nothing is left out that only makes no sense in a sum.
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

/** In the primary: passes on what workers ask one another. */
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
