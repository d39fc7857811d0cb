import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { pathOf } from '../../src/platform/edge/edge-path.js';
import { makeCollection, makeRecord } from '../support/collections.js';
import { texts } from '../support/contracts.js';
import { exchange } from '../support/exchange.js';
import { patternsOfSource, textsAgainst, timeOf } from '../support/patterns.js';
import { aroundOf, type Place, placesOf } from '../support/places.js';
import { inMs, row } from '../support/row.js';
import { type Single, startSingle } from '../support/single.js';
import { figuresOf } from '../support/watch.js';

const LENGTH = 50_000;
/** A pattern that doubles its time with each character shows at this length, and would not end at a greater one. */
const SHORT = 24;
const LONGEST_MS = 50;
/** A busy machine may delay anything, so a slow case is tried again: a bad pattern is slow every time. */
const TRIES = 5;

const ID = '0198c0de-0000-7000-8000-000000000000';
/** A pattern, the file that has it, and a text that it matches. */
type Met = [file: string, regexp: RegExp, sample: string];

/** For each pattern of a file, in order, a text of a caller that it matches; modules have theirs beside them. */
const SAMPLES: Record<string, readonly string[]> = {
  ...texts,
  'docs.ts': ['/docs/swagger-ui.css', 'http://localhost:3000/'],
  'platform/decimal.ts': ['1.5e-7', '00', '0.01e1'],
  'platform/exact-json.ts': [' 1e5', '"a\\"b" :', '-1'],
  'platform/http/body.ts': ['; charset = "utf-8'],
  'platform/http/entity-tag.ts': ['W/"1-a" ,', '1-a-gzip'],
  'platform/http/headers.ts': ['/docs/'],
  'platform/resource/idempotency.ts': ['a key'],
  'platform/resource/page.ts': ['20'],
  'platform/http/public-path.ts': ['/', '/api'],
  'platform/http/query.ts': ['%00'],
  'platform/http/request-guard.ts': ['example.com:80', 'a.b_c-1', '%00'],
  'platform/http/response.ts': ['é'],
  'platform/resource/moment.ts': [':60Z', '.0001', '+0'],
  'platform/resource/copy-in.ts': ['a\tb', '\\N', '\\t'],
  'platform/resource/resource.ts': ['-createdAt'],
  'platform/resource/upload/uploads.ts': [' application/x-ndjson'],
  'platform/logging/access-log.ts': ['"', '%x'],
  'platform/metrics/metrics.controller.ts': ['; version=1.0.0', 'a_total'],
  'platform/feed/asked.ts': ['20s'],
  'platform/feed/position.ts': ['1042-1043-99871'],
  'platform/http/probe.ts': ['/health/live?'],
  'platform/throttle/throttle.ts': ['/.well-known/jwks.json?'],
};
/** The patterns of these files only meet settings, error messages or our own text, never a caller's. */
const INNER = [
  ...[
    'config.ts',
    'platform/setting.ts',
    'platform/secrets.ts',
    'platform/stack.ts',
    'platform/database/url.ts',
    'platform/redis/url.ts',
    'platform/logging/nest-logger.ts',
  ],
  ...['creations', 'definition', 'list', 'names', 'routes', 'table'].map((file) => `platform/resource/${file}.ts`),
  ...['users/passwords.service.ts', 'platform/database/database-problem.ts', 'platform/http/compression.ts'],
  ...['platform/http/shared-caches.ts', 'platform/http/declared-routes.ts', 'platform/edge/edge-path.ts'],
  ...['platform/http/json.ts', 'platform/http/validation.ts', 'platform/otlp/metrics.ts'],
  'platform/feed/ticks.ts',
];
/** This pattern only meets text that is already known to be JSON. */
const asMet = (file: string, text: string) =>
  file === 'platform/exact-json.ts' ? JSON.stringify({ [text]: text }) : text;
const RECORD = '/api/v1/data/:collection/records/:id';
/** Zod's patterns behind the formats of the document, and a pattern that is made of a route. */
const FORMATS: Met[] = [
  ['a path', pathOf(RECORD, [RECORD, RECORD.replace(':id', 'export')]), `/api/v1/data/flights/records/${ID}`],
  ['a UUID', patternOf(z.uuid()), ID],
  ['a moment', patternOf(z.iso.datetime({ offset: true })), '2001-01-01T12:30:00.123+01:00'],
];

function patternOf(schema: z.ZodType): RegExp {
  return (schema as unknown as { _zod: { def: { pattern: RegExp } } })._zod.def.pattern;
}

/** The patterns that the document states, with a text for each. */
function documented(): Met[] {
  const found = new Set<string>();
  JSON.parse(readFileSync('openapi.json', 'utf8'), (name, value) => {
    if (name === 'pattern' && typeof value === 'string') found.add(value);
    return value;
  });
  const samples = [
    ...Object.values(SAMPLES).flat(),
    `"1-a"`,
    `eyJh.${'a'.repeat(22)}`,
    '',
    ...FORMATS.map(([, , text]) => text),
  ];
  return [...found].map((source) => {
    const regexp = new RegExp(source);
    const sample = samples.find((text) => regexp.test(text));
    if (sample === undefined)
      throw new Error(`no text of SAMPLES or of a contract is one for ${source} of openapi.json`);
    return ['openapi.json', regexp, sample];
  });
}

/** Every pattern that meets a caller's text, with a text that it matches. */
function patterns(): Met[] {
  const left = new Map(Object.entries(SAMPLES).map(([file, samples]) => [file, [...samples]]));
  const met = patternsOfSource().filter(({ file }) => !INNER.includes(file));
  const found = met.map(({ file, text, regexp }): Met => {
    const sample = left.get(file)?.shift();
    if (sample === undefined)
      throw new Error(
        `say what ${text} takes, in the module's contract, such as src/orders/orders.contract.ts:\n  texts: { '${file.split(/[/\\]/).at(-1)}': ['…'] },\nor in INNER that nobody sends it`,
      );
    expect([text, sample, new RegExp(regexp).test(sample)]).toEqual([text, sample, true]);
    return [file, regexp, sample];
  });
  expect([...left].filter(([, samples]) => samples.length > 0)).toEqual([]);
  return [...new Map([...documented(), ...FORMATS, ...found].map((one) => [one[1].source, one])).values()];
}

/** For each pattern the text that takes longest, the slowest first. */
let worst: { text: string; ms: number }[];
/** This many of them are put in every place. */
const PUT = 12;

row(
  35,
  'each pattern of the source, of the document and of its formats, alone',
  async () => {
    let [longest, tried] = [0, 0];
    worst = patterns().map(([file, regexp, sample]) => {
      let [text, ms] = ['', -1];
      for (const plain of textsAgainst(sample, SHORT, LENGTH)) {
        const one = asMet(file, plain);
        tried++;
        let time = timeOf(regexp, one);
        for (let tries = 1; time >= LONGEST_MS && tries < TRIES; tries++) time = Math.min(time, timeOf(regexp, one));
        expect([regexp.source, one.slice(0, 40), time < LONGEST_MS]).toEqual([regexp.source, one.slice(0, 40), true]);
        if (time > ms) [text, ms] = [plain, time];
      }
      longest = Math.max(longest, ms);
      return { text, ms };
    });
    worst.sort((a, b) => b.ms - a.ms);
    return { patterns: worst.length, texts: tried, 'longest of all': inMs(longest) };
  },
  120_000,
);

let one: Single;
beforeAll(async () => {
  one = await startSingle({ TRUST_PROXY: '127.0.0.1', CORS_ORIGINS: 'https://shop.example.com' });
}, 60_000);
afterAll(() => one?.close());

/** Headers that libraries parse, with values that may take them long. */
const HEADERS: Record<string, string[]> = {
  accept: [`a/b;x="${',""'.repeat(5100)}`, `application/json;x="${';""'.repeat(5100)}`, 'a/b,'.repeat(3900)],
  'accept-encoding': ['a,'.repeat(7800), `gzip${';'.repeat(15_000)}`],
  'content-type': [`application/json;${'a="'.repeat(5000)}`, `application/json;${' '.repeat(15_000)}x`],
  range: [`bytes=${'0-0,'.repeat(3900)}`],
  'x-forwarded-for': ['127.0.0.1,'.repeat(1550), `${' '.repeat(15_000)}x`],
  ...Object.fromEntries(
    ['authorization', 'host', 'origin', 'x-request-id', 'content-encoding', 'cookie', 'traceparent', 'expect', 'te']
      .concat(['connection', 'if-none-match', 'if-match', 'if-modified-since', 'access-control-request-headers'])
      .map((name) => [name, []]),
  ),
};

/** Requests with one text each, by the place of the text. */
function requests(places: Place[], record: string): Map<string, Buffer[]> {
  const texts = worst.slice(0, PUT).map(({ text }) => text.slice(0, LENGTH));
  const inHead = (text: string, room: number) => text.replace(/[^\t\x20-\x7e]/g, 'x').slice(0, room);
  const encoded = (text: string, room: number) =>
    encodeURIComponent(text.toWellFormed()).slice(0, room).replace(/%\w?$/, '');
  const put = ({ in: where, request }: Place, text: string): Buffer[] => {
    if (where === 'body') return [request(Buffer.from(JSON.stringify(text).slice(1, -1)))];
    if (where === 'header') return [request(inHead(text, 15_000)), request(inHead(text, LENGTH))];
    const rooms = where === 'path' ? [199, 15_000] : [15_000, LENGTH];
    return rooms.map((room) => request(encoded(text, room)));
  };
  const heads = Object.entries(HEADERS).flatMap(([name, own]) => {
    const targets = [`GET ${record}`, 'GET /docs/swagger-ui.css', 'OPTIONS /api/v1/data', 'POST /api/v1/auth/login'];
    return targets.map((target): [string, Buffer[]] => [
      `${target} ${name}`,
      [...own, ...texts.map((text) => inHead(text, 15_000))].map((text) => {
        const host = name === 'host' ? '' : 'Host: x\r\n';
        const body = target.startsWith('POST') && name !== 'content-type' ? 'Content-Type: application/json\r\n' : '';
        return Buffer.from(
          `${target} HTTP/1.1\r\n${host}${body}Content-Length: 2\r\n${name}: ${text}\r\n\r\n{}`,
          'latin1',
        );
      }),
    ]);
  });
  return new Map([
    ...places.map((place): [string, Buffer[]] => [place.name, texts.flatMap((text) => put(place, text))]),
    ...heads,
  ]);
}

/** Sends the requests one after the other while another connection pings. @returns the longest block, in ms, by the ping and by the metric */
async function disturb(texts: Buffer[]): Promise<[ping: number, lag: number]> {
  let [isOver, ping] = [false, 0];
  const asking = (async () => {
    while (!isOver) {
      const begun = performance.now();
      await one.anyone.get('/health/live');
      ping = Math.max(ping, performance.now() - begun);
    }
  })();
  // The metric covers the time since the last scrape.
  await figuresOf(one.anyone);
  for (const text of texts) expect(await exchange(one.url, text)).toMatch(/^HTTP\/1\.1 [1-4]\d\d /);
  const lag = (await figuresOf(one.anyone))('nodejs_eventloop_lag_max_seconds') * 1000;
  isOver = true;
  await asking;
  return [ping, lag];
}

row(
  35,
  'in every place of a request',
  async () => {
    const set = await makeCollection(one.admin);
    const { path } = await makeRecord(one.admin, set);
    const all = requests(placesOf(await aroundOf(one.admin)), path);
    let [pings, lags, sent] = [0, 0, 0];
    for (const [place, texts] of all) {
      let [ping, lag] = await disturb(texts);
      for (let tries = 1; (ping >= LONGEST_MS || lag >= LONGEST_MS) && tries < TRIES; tries++) {
        const again = await disturb(texts);
        [ping, lag] = [Math.min(ping, again[0]), Math.min(lag, again[1])];
      }
      expect([place, ping < LONGEST_MS, lag < LONGEST_MS]).toEqual([place, true, true]);
      [pings, lags, sent] = [Math.max(pings, ping), Math.max(lags, lag), sent + texts.length];
    }
    await one.expectUnharmed();
    return {
      places: all.size,
      requests: sent,
      'another one waited at most': inMs(pings),
      'delay of the event loop at most': inMs(lags),
    };
  },
  240_000,
);
