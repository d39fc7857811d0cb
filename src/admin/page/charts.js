// Charts of the live figures.
import { make } from './dom.js';
import { compact, exactDuration, orNone, percent } from './formats.js';
import uPlot from './uPlot.esm.js';

/** How much of the past is shown. */
export const SHOWN_S = 180;
const HEIGHT = 180;

/** Charts: a title, how values are written, and lines, each with its name and colour. */
const CHARTS = [
  {
    title: 'Requests per second, by class of status',
    isWide: true,
    lines: [
      ['2xx', '2xx', 'blue'],
      ['3xx', '3xx', 'teal'],
      ['4xx', '4xx', 'amber'],
      ['5xx', '5xx', 'red'],
    ],
  },
  {
    title: 'Time to answer',
    format: exactDuration,
    isLogarithmic: true,
    lines: [
      ['p50', 'p50', 'blue'],
      ['p99', 'p99', 'amber'],
    ],
  },
  {
    title: 'Refused per second',
    lines: [
      ['limited', 'over a rate limit (429)', 'amber'],
      ['full', 'full (503)', 'red'],
      ['late', 'late (503)', 'violet'],
    ],
  },
  {
    title: 'Reads of what is kept, per second',
    lines: [
      ['hit', 'hit', 'blue'],
      ['stale', 'stale', 'amber'],
      ['miss', 'miss', 'red'],
    ],
  },
  {
    title: 'Requests in hand',
    lines: [
      ['inHand', 'in hand', 'blue'],
      ['queued', 'queued', 'amber'],
      ['limit', 'limit', 'grey'],
    ],
  },
  {
    title: 'Connections to PostgreSQL',
    lines: [
      ['used', 'in use', 'blue'],
      ['waiting', 'waiting for one', 'amber'],
      ['pool', 'limit', 'grey'],
    ],
  },
  { title: 'Event loop busy', format: percent, most: 1, lines: [['busy', 'busy', 'blue']] },
];

/** Where a logarithmic axis has its lines, in seconds. */
const DECADES = [0.001, 0.01, 0.1, 1, 10];

const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

function makeChart({ title, isWide, isLogarithmic, most, lines, format = compact }) {
  const place = make('div', { className: 'chart' });
  const card = make('section', { className: isWide ? 'card wide' : 'card' }, make('h3', {}, title), place);
  const axis = {
    stroke: colour('muted'),
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui',
  };
  const range = (_, _low, high) => (isLogarithmic ? [0.001, Math.max(1, high)] : [0, most ?? Math.max(1, 1.1 * high)]);
  const plot = new uPlot(
    {
      width: 300,
      height: HEIGHT,
      padding: [8, 28, 0, 0],
      cursor: { sync: { key: 'live' }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { distr: isLogarithmic ? 3 : 1, range } },
      axes: [
        { ...axis, size: 30, space: 70, values: '{HH}:{mm}:{ss}' },
        {
          ...axis,
          size: 62,
          splits: isLogarithmic ? () => DECADES : undefined,
          values: (_, ticks) => ticks.map((tick) => orNone(tick, format)),
        },
      ],
      legend: { markers: { width: 3 } },
      series: [
        { value: '{HH}:{mm}:{ss}' },
        ...lines.map(([, label, name]) => ({
          label,
          stroke: colour(name),
          width: 1.5,
          dash: name === 'grey' ? [4, 4] : undefined,
          points: { show: false },
          value: (_, value) => orNone(value, format),
        })),
      ],
    },
    [[], ...lines.map(() => [])],
    place,
  );
  const size = new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: HEIGHT }));
  size.observe(place);
  const draw = (samples) => {
    const now = Date.now() / 1000;
    plot.batch(() => {
      plot.setData([samples.map(({ time }) => time), ...lines.map(([key]) => samples.map((one) => one[key] ?? null))]);
      plot.setScale('x', { min: now - SHOWN_S, max: now });
    });
    // Nobody points at a moment: then the legend is of now.
    if (plot.cursor.left < 0 || plot.cursor.left === undefined) plot.setLegend({ idx: samples.length - 1 });
  };
  const end = () => {
    size.disconnect();
    plot.destroy();
  };
  return { card, draw, end };
}

/** Each with its `card`, what draws samples of figures, and what ends it. */
export const makeCharts = () => CHARTS.map(makeChart);
