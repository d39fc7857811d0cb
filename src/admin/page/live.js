// Figures of the app as they move: asked for once a second, while somebody looks.
import { readFigures } from './api.js';
import { makeCharts, SHOWN_S } from './charts.js';
import { make, table } from './dom.js';
import { compare, routesBetween, snapshot } from './figures.js';
import { bytes, duration, number, orNone, percent } from './formats.js';

const EVERY_MS = 1000;
/** Of how much of the past the routes' table is made. */
const ROUTES_S = 10;

/** What stands at the top: a figure, and what is said below it. */
const TILES = [
  ['Requests', (now) => `${number(now.requests)}/s`, (now) => `${number(now['5xx'])}/s failed`],
  ['p50', (now) => orNone(now.p50, duration), () => 'half within'],
  ['p99', (now) => orNone(now.p99, duration), () => '99 % within'],
  [
    'Refused',
    (now) => `${number(now.limited + now.full + now.late)}/s`,
    (now) => `429: ${number(now.limited)} · 503: ${number(now.full + now.late)}`,
  ],
  ['Kept', (now) => orNone(now.kept, percent), (now) => `${number(now.hit + now.stale)} hits/s`],
  ['In hand', (now) => `${number(now.inHand)} of ${number(now.limit)}`, (now) => `${number(now.queued)} queued`],
  ['Pool', (now) => `${number(now.used)} of ${number(now.pool)}`, (now) => `${number(now.waiting)} waiting`],
  ['Event loop', (now) => percent(now.busy), (now) => bytes(now.memory)],
];

function makeTile([title, figure, detail]) {
  const [value, below] = [make('output', {}, '–'), make('small', {}, ' ')];
  const draw = (now) => {
    value.textContent = figure(now);
    below.textContent = detail(now);
  };
  return { card: make('div', { className: 'tile' }, make('span', {}, title), value, below), draw };
}

const refusedTable = ({ sum, by }) =>
  table(
    'Refused since the start',
    ['Why', 'Requests'],
    [
      ...by('ratelimit_refused_total', 'policy').map(([policy, count]) => [
        `429: over the limit “${policy}”`,
        number(count),
      ]),
      ...['full', 'late'].map((reason) => [`503: ${reason}`, number(sum('admission_refused_total', { reason }))]),
    ],
  );

const heldTable = ({ by }) =>
  table(
    'Held by requests now',
    ['What', 'How much'],
    by('resources_in_use', 'resource')
      .filter(([, held]) => held > 0)
      .map(([name, held]) => [name.replaceAll('_', ' '), name.endsWith('_bytes') ? bytes(held) : number(held)]),
  );

const routesTable = (routes) =>
  table(
    `Busiest routes of the last ${ROUTES_S} s`,
    ['Route', 'Requests/s', 'p50', 'p99', '4xx/s', '5xx/s'],
    routes
      .slice(0, 12)
      .map(({ name, requests, p50, p99, refused, failed }) => [
        name,
        number(requests),
        orNone(p50, duration),
        orNone(p99, duration),
        number(refused),
        number(failed),
      ]),
  );

/** Shows the figures, and goes on until it is told to stop. @returns what stops it */
export function openLive(view) {
  const tiles = TILES.map(makeTile);
  const charts = makeCharts();
  const [refused, routes, held] = ['card', 'card', 'card'].map((className) => make('section', { className }));
  view.replaceChildren(
    make('div', { className: 'tiles' }, ...tiles.map(({ card }) => card)),
    make('div', { className: 'charts' }, ...charts.map(({ card }) => card), refused),
    routes,
    held,
  );
  let snapshots = [];
  let samples = [];
  let timer;

  async function look() {
    const began = performance.now();
    const tell = (event, detail) => timer !== null && view.dispatchEvent(new CustomEvent(event, { detail }));
    let now;
    try {
      now = document.hidden ? undefined : snapshot(await readFigures());
      tell('answered');
    } catch (error) {
      tell('refused', error);
    }
    if (timer === null) return;
    show(now);
    timer = setTimeout(look, Math.max(0, EVERY_MS - (performance.now() - began)));
  }

  function show(now) {
    const before = snapshots.at(-1);
    const figures = now && before && compare(before, now);
    snapshots = now ? [...(figures ? snapshots : []), now].slice(-ROUTES_S - 1) : [];
    const time = Date.now() / 1000;
    samples = [...samples, { time, ...figures }].filter((sample) => sample.time > time - SHOWN_S);
    for (const { draw } of charts) draw(samples);
    if (!figures) return;
    for (const { draw } of tiles) draw(figures);
    routes.replaceChildren(routesTable(routesBetween(snapshots[0], now)));
    refused.replaceChildren(refusedTable(now));
    held.replaceChildren(heldTable(now));
  }

  look();
  return () => {
    clearTimeout(timer);
    timer = null;
    for (const { end } of charts) end();
  };
}
