// Puts a real data set through the API of a running Floodgate: npm run demo [-- http://host:port]
import { readFileSync } from 'node:fs';
import { SingleBar } from 'cli-progress';
import { apiAt, assertRunning, signUp, suffix, urlOf } from './running.mjs';

const base = urlOf(process.argv[2] ?? process.env.DEMO_URL);
const call = apiAt(base);
const collection = `flights-${suffix}`;
const count = (value) => value.toLocaleString('en');

async function timed(work) {
  const start = performance.now();
  return [await work(), performance.now() - start];
}

/** One record a line. The set gives the time of day in hours; the day is not in it, so all fly on the first of 2001. */
async function* lines(flights, onProgress) {
  const midnight = Date.UTC(2001, 0, 1);
  for (let at = 0; at < flights.length; at += 1000) {
    const part = flights.slice(at, at + 1000).map(({ delay, distance, time }) => {
      const occurredAt = new Date(midnight + time * 3_600_000).toISOString();
      return `${JSON.stringify({ data: { delay, distance }, occurredAt })}\n`;
    });
    yield Buffer.from(part.join(''));
    onProgress(Math.min(at + 1000, flights.length));
  }
}

async function main() {
  await assertRunning(base);
  const file = new URL('../node_modules/vega-datasets/data/flights-200k.json', import.meta.url);
  const flights = JSON.parse(readFileSync(file, 'utf8'));

  const { email, token } = await signUp(call, 'demo');
  console.log(`Signed in as ${email}.`);

  const records = `/api/v1/data/${collection}/records`;
  await call('PUT', `/api/v1/data/${collection}`, {
    token,
    body: { visibility: 'public', description: 'Flights in the United States (vega-datasets, flights-200k)' },
  });
  console.log(`Made the public collection ${collection}.`);

  const bar = new SingleBar({
    format: 'Sending |{bar}| {value} of {total} flights',
    noTTYOutput: true,
    notTTYSchedule: 1000,
  });
  bar.start(flights.length, 0);
  const [report, uploadMs] = await timed(() =>
    call('POST', `${records}/bulk`, {
      token,
      headers: { 'content-type': 'application/x-ndjson' },
      stream: ReadableStream.from(lines(flights, (sent) => bar.update(sent))),
    }),
  );
  bar.stop();
  const rate = Math.round(report.inserted / (uploadMs / 1000));
  console.log(
    `Stored ${count(report.inserted)} records, refused ${count(report.failed)}: ${(uploadMs / 1000).toFixed(1)} s, ${count(rate)} records a second.`,
  );

  const [page, pageMs] = await timed(() => call('GET', `${records}?limit=20`));
  console.log(`Listed the ${page.items.length} latest in ${pageMs.toFixed(1)} ms.`);
  const [late, lateMs] = await timed(() =>
    call('GET', `${records}?limit=5&where=${encodeURIComponent('{"delay":180}')}`),
  );
  console.log(`Found ${late.items.length} that were 180 minutes late in ${lateMs.toFixed(1)} ms.`);
  const [one, oneMs] = await timed(() => call('GET', `${records}/${page.items[0].id}`));
  console.log(`Read one in ${oneMs.toFixed(1)} ms: ${JSON.stringify(one.data)}`);
  console.log(`See for yourself: curl '${base}${records}?limit=3'`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
