// What grows as a picture: each panel has some curves over the number of rows, both in powers of ten, as one SVG by hand.
import { PANELS } from './growth.mjs';

const COLUMNS = 2;
const WIDTH = 430;
const HEIGHT = 290;
const PLOT = { left: 62, top: 40, width: WIDTH - 104, height: 130 };

const STYLE = `
    text { font: 11px system-ui, sans-serif; fill: #1f2328 }
    .title { font-size: 15px; font-weight: 600 } .panel { font-size: 12px; font-weight: 600 } .small { fill: #59636e }
    .grid { stroke: #d1d9e0 } .line { fill: none; stroke-width: 1.6 }
    .c0 { stroke: #0969da } .c1 { stroke: #bc4c00 } .c2 { stroke: #8250df } .c3 { stroke: #1a7f37 } .c4 { stroke: #bf3989 } .c5 { stroke: #cf222e }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .small { fill: #9198a1 } .grid { stroke: #3d444d }
      .c0 { stroke: #4493f8 } .c1 { stroke: #f0883e } .c2 { stroke: #ab7df8 } .c3 { stroke: #3fb950 } .c4 { stroke: #f778ba } .c5 { stroke: #f85149 }
    }`;

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const time = (ms) => (ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`);

function panel(title, names, found) {
  const values = found.flatMap(({ figures }) => names.map((name) => figures[name]));
  const [low, high] = [Math.floor(Math.log10(Math.min(...values))), Math.ceil(Math.log10(Math.max(...values)))];
  const [few, many] = [Math.log10(found[0].rows), Math.log10(found.at(-1).rows)];
  const x = (rows) => PLOT.left + (many === few ? 0.5 : (Math.log10(rows) - few) / (many - few)) * PLOT.width;
  const y = (ms) => PLOT.top + (1 - (Math.log10(ms) - low) / (high - low)) * PLOT.height;
  const powers = Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n));
  const grid = powers.map(
    (ms) => `<line class="grid" x1="${PLOT.left}" x2="${PLOT.left + PLOT.width}" y1="${y(ms)}" y2="${y(ms)}"/>
    <text class="small" x="${PLOT.left - 6}" y="${y(ms) + 4}" text-anchor="end">${time(Number(ms.toPrecision(1)))}</text>`,
  );
  const marks = found.map(
    ({ rows }) =>
      `<text class="small" x="${x(rows)}" y="${PLOT.top + PLOT.height + 16}" text-anchor="middle">${rows.toLocaleString('en')}</text>`,
  );
  const lines = names.map((name, at) => {
    const points = found.map(({ rows, figures }) => `${x(rows).toFixed(1)},${y(figures[name]).toFixed(1)}`);
    const below = PLOT.top + PLOT.height + 38 + 16 * at;
    return `<polyline class="line c${at}" points="${points.join(' ')}"/>
    <line class="line c${at}" x1="${PLOT.left}" x2="${PLOT.left + 18}" y1="${below - 4}" y2="${below - 4}"/>
    <text x="${PLOT.left + 24}" y="${below}">${escaped(name)}</text>`;
  });
  return `<text class="panel" x="${PLOT.left}" y="24">${escaped(title)}</text>
    ${[...grid, ...marks, ...lines].join('\n    ')}`;
}

/** @param found of `grow` @param subtitle the machine and the versions */
export function growthChart(found, subtitle) {
  const panels = Object.entries(PANELS);
  const [width, height] = [COLUMNS * WIDTH, 40 + Math.ceil(panels.length / COLUMNS) * HEIGHT + 24];
  const drawn = panels.map(([title, names], at) => {
    const [left, top] = [(at % COLUMNS) * WIDTH, 36 + Math.floor(at / COLUMNS) * HEIGHT];
    return `<g transform="translate(${left} ${top})">
    ${panel(title, names, found)}
  </g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="Time of a request by the rows of its collection">
  <style>${STYLE}
  </style>
  <text class="title" x="12" y="24">Time of a request by the rows of its collection</text>
  ${drawn.join('\n  ')}
  <text class="small" x="12" y="${height - 10}">${escaped(subtitle)}</text>
</svg>
`;
}
