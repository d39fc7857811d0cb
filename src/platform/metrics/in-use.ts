import { Gauge } from 'prom-client';

const figures = new Map<string, (() => number)[]>();

new Gauge({
  name: 'resources_in_use',
  help: 'Resources that requests hold while they run: each is 0 when the app is idle.',
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
 * Shows in /metrics how much of a resource is in use: a place, bytes, a connection, a timer, or whatever else a request
 * takes and gives back.
 */
export function showInUse(resource: string, figure: () => number): void {
  const all = figures.get(resource) ?? [];
  figures.set(resource, [...all, figure]);
}
