// The panels of the dashboards with their data, as one SVG by hand, readable on a light and on a dark page.
const COLUMNS = 3;
const WIDTH = 290;
const HEIGHT = 164;
const PLOT = { top: 34, left: 44, width: WIDTH - 58, height: 66 };
const MOST_LINES = 4;
/** Of a name that has half a line; longer ones have a line each. */
const LEGEND_CHARACTERS = 22;

const STYLE = `
    text { font: 11px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 } .small { font-size: 9px; fill: #59636e }
    .frame { fill: none; stroke: #d1d9e0 } .line { fill: none; stroke-width: 1.3 }
    .c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .c2 { stroke: #8250df } .c3 { stroke: #1a7f37 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .small { fill: #9198a1 } .frame { stroke: #3d444d }
      .c0 { stroke: #4493f8 } .c1 { stroke: #f0883e } .c2 { stroke: #ab7df8 } .c3 { stroke: #3fb950 }
    }`;

const UNITS = {
  percentunit: (value) => `${round(value * 100)} %`,
  s: (value) => (value < 1 ? `${round(value * 1000)} ms` : `${round(value)} s`),
  bytes: (value) => `${round(value / 2 ** 20)} MiB`,
  reqps: (value) => `${round(value)}/s`,
  ops: (value) => `${round(value)}/s`,
};

const round = (value) => Number(value.toPrecision(2)).toLocaleString('en');
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const short = (name) => name.replace('/api/v1/', '…/');

/**
 * @param dashboards of { title, panels: { title, unit, lines: { name, points: [time, value][] } } }
 * @param from, to Unix times in seconds
 * @param caption what was done meanwhile, and on what
 */
export function picture(dashboards, { from, to, caption }) {
  const parts = [];
  let y = 30;
  for (const { title, panels } of dashboards) {
    parts.push(`<text class="title" x="8" y="${y}">${escaped(title)}</text>`);
    y += 12;
    panels.forEach((panel, index) => {
      const [column, row] = [index % COLUMNS, Math.floor(index / COLUMNS)];
      parts.push(`<g transform="translate(${column * WIDTH + 8} ${y + row * HEIGHT})">${drawn(panel, from, to)}</g>`);
    });
    y += Math.ceil(panels.length / COLUMNS) * HEIGHT + 26;
  }
  const size = `width="${COLUMNS * WIDTH + 8}" height="${y}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${COLUMNS * WIDTH + 8} ${y}" ${size} role="img" aria-label="The panels of the dashboards">
  <style>${STYLE}
  </style>
  ${parts.join('\n  ')}
  <text class="small" x="8" y="${y - 12}">${escaped(caption)}</text>
</svg>
`;
}

function drawn({ title, unit, lines }, from, to) {
  const { top, left, width, height } = PLOT;
  const mean = ({ points }) => points.reduce((sum, [, value]) => sum + value, 0) / points.length;
  const shown = lines.toSorted((a, b) => mean(b) - mean(a)).slice(0, MOST_LINES);
  const most = Math.max(...shown.flatMap(({ points }) => points.map(([, value]) => value))) || 1;
  const format = UNITS[unit] ?? round;
  const at = ([time, value]) =>
    `${(left + ((time - from) / (to - from)) * width).toFixed(1)} ${(top + height * (1 - value / most)).toFixed(1)}`;
  const perLine = shown.some(({ name }) => short(name).length > LEGEND_CHARACTERS) ? 1 : 2;
  const legend = shown.map(({ name }, index) => {
    const [x, y] = [left + (index % perLine) * 122, top + height + 17 + Math.floor(index / perLine) * 11];
    return `<path class="line c${index}" d="M${x} ${y - 3}h10"/><text class="small" x="${x + 13}" y="${y}">${escaped(short(name))}</text>`;
  });
  const more = lines.length > shown.length ? ` (${shown.length} of ${lines.length})` : '';
  return [
    `<text x="4" y="20">${escaped(title)}<tspan class="small">${more}</tspan></text>`,
    `<path class="frame" d="M${left} ${top}v${height}h${width}"/>`,
    `<text class="small" x="${left - 4}" y="${top + 6}" text-anchor="end">${format(most)}</text>`,
    `<text class="small" x="${left - 4}" y="${top + height}" text-anchor="end">0</text>`,
    ...shown.map(({ points }, index) => `<path class="line c${index}" d="M${points.map(at).join('L')}"/>`),
    ...legend,
  ].join('');
}
