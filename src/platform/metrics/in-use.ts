import { Gauge } from 'prom-client';

const figures = new Map<string, (() => number)[]>();

new Gauge({
  name: 'resources_in_use',
  help: 'What requests hold for a while and give back whatever becomes of them: each is 0 when nothing is going on.',
  labelNames: ['resource'],
  collect() {
    for (const [resource, all] of figures)
      this.set(
        { resource },
        all.reduce((sum, figure) => sum + figure(), 0),
      );
  },
});

/**
 * Shows in /metrics how much of a resource is in use. For whatever is taken when a request begins something, and given back
 * when it has ended: a place, bytes, a connection, a timer.
 */
export function showInUse(resource: string, figure: () => number): void {
  const all = figures.get(resource) ?? [];
  figures.set(resource, [...all, figure]);
}
