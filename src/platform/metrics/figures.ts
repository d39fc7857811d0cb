import type { Type } from '@nestjs/common';
import type { makeCounterProvider, makeGaugeProvider } from '@willsoto/nestjs-prometheus';
import type { Aggregator, Counter, Gauge } from 'prom-client';

/** A value, or one for each value of a label; one that is undefined is left out. */
type Read<T> = (of: T) => number | Record<string, number | undefined>;

/**
 * Metrics of one provider, each with its help, how to read it, and the label by which its values differ, if they do.
 * @param aggregator makes one value of those of several workers
 */
export function figures<T>(
  make: typeof makeGaugeProvider | typeof makeCounterProvider,
  of: Type<T>,
  aggregator: Aggregator,
  all: Record<string, [help: string, read: Read<T>, label?: string]>,
) {
  return Object.entries(all).map(([name, [help, read, label]]) =>
    make({
      name,
      help,
      aggregator,
      labelNames: label ? [label] : [],
      inject: [of],
      collect(this: Counter | Gauge, one: T) {
        this.reset();
        const found = read(one);
        if (typeof found === 'number') this.inc(found);
        else
          for (const [value, count] of Object.entries(found))
            if (count !== undefined) this.inc({ [label as string]: value }, count);
      },
    }),
  );
}
