// The figures as a picture: a small SVG by hand, readable on a light and on a dark page.
const WIDTH = 860;
const LEFT = 270;
const RIGHT = 190;
const BAR = 13;
const GAP = 14;
const TOP = 74;
const NAMES = {
  'nest-usual': 'NestJS, the usual way',
  'fastify-redis': 'Fastify + Redis',
  'express-redis': 'Express + Redis',
};
const SERIES = { ours: 'Floodgate', ...NAMES };

const STYLE = `
    text { font: 12px system-ui, sans-serif; fill: #1f2328 }
    .small { font-size: 11px; fill: #59636e }
    .title { font-size: 15px; font-weight: 600 }
    .one { stroke: #1f2328; stroke-dasharray: 4 3 }
    .ours { fill: #0969da } .nest-usual { fill: #bc4c00 } .fastify-redis { fill: #8250df } .express-redis { fill: #9a6700 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc } .small { fill: #9198a1 } .one { stroke: #f0f6fc }
      .ours { fill: #4493f8 } .nest-usual { fill: #f0883e } .fastify-redis { fill: #ab7df8 } .express-redis { fill: #d29922 }
    }`;

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/**
 * Bars of ratios to each scenario's yardstick. Longer is better everywhere: where less is better, the bar is the inverse.
 * @param rows of `play`
 * @param subtitle the machine and the versions
 */
export function chart(rows, subtitle) {
  const shown = rows.filter(({ isOurs, contestant }) => isOurs || contestant in NAMES);
  const scenarios = Map.groupBy(shown, ({ scenario }) => scenario);
  const goodness = ({ ratio, isLowerBetter }) => (isLowerBetter ? 1 / ratio : ratio);
  const most = Math.max(1.2, ...shown.map(goodness));
  const x = (value) => LEFT + (value / most) * (WIDTH - LEFT - RIGHT);
  const parts = [];
  let y = TOP;
  for (const [name, all] of scenarios) {
    const sorted = all.toSorted((a, b) => Number(b.isOurs) - Number(a.isOurs));
    const [{ yardstick }] = sorted;
    parts.push(`<text x="${LEFT - 12}" y="${y + 11}" text-anchor="end">${escaped(name)}</text>`);
    parts.push(
      `<text class="small" x="${LEFT - 12}" y="${y + 25}" text-anchor="end">1.0 is ${escaped(yardstick)}</text>`,
    );
    for (const row of sorted) {
      const end = x(goodness(row));
      const label = `${row.ratio.toFixed(2)}${row.isLowerBetter ? '× (less is better)' : ''}`;
      parts.push(
        `<rect class="${row.isOurs ? 'ours' : row.contestant}" x="${LEFT}" y="${y}" width="${(end - LEFT).toFixed(1)}" height="${BAR}" rx="2"/>`,
        `<text class="small" x="${(Math.max(end, end < x(1) && end > x(1) - 30 ? x(1) : end) + 5).toFixed(1)}" y="${y + 10}">${label}</text>`,
      );
      y += BAR + 2;
    }
    y += GAP + Math.max(0, 2 - sorted.length) * (BAR + 2);
  }
  const used = Object.keys(SERIES).filter(
    (key) => key === 'ours' || shown.some(({ contestant }) => contestant === key),
  );
  const legend = used.map((key, index) => {
    const at = LEFT + index * 140;
    return `<rect class="${key}" x="${at}" y="42" width="12" height="12" rx="2"/><text class="small" x="${at + 17}" y="52">${SERIES[key]}</text>`;
  });
  const line = `<line class="one" x1="${x(1).toFixed(1)}" x2="${x(1).toFixed(1)}" y1="${TOP - 8}" y2="${y - GAP}"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 22}" width="${WIDTH}" height="${y + 22}" role="img" aria-label="Ratios to hand-written yardsticks">
  <style>${STYLE}
  </style>
  <text class="title" x="12" y="24">Speed beside a hand-written yardstick (longer is better)</text>
  ${legend.join('\n  ')}
  ${parts.join('\n  ')}
  ${line}
  <text class="small" x="12" y="${y + 8}">${escaped(subtitle)}</text>
</svg>
`;
}
