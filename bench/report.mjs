// What the figures say, as text.
import { FOREIGN_LIMIT } from './measure.mjs';

/** A module's row may have so much less than the row of `data` that does the same. */
const LEAST_OF_DATA = 0.95;
const MARKS = { goal: '✔✔ beyond', reached: '✔ reached', missed: '✘ missed' };
const digits = (number) => (number >= 100 ? Math.round(number).toLocaleString('en') : number.toFixed(1));

/** One scenario's contestants, below each other. */
export function describe(rows) {
  return rows.map((row, index) => {
    const isNew = row.scenario !== rows[index - 1]?.scenario;
    const title = isNew
      ? `\n${row.scenario} (of ${row.yardstick}${row.isLowerBetter ? '; less is better' : ''})\n`
      : '';
    const figures = [
      row.contestant.padEnd(20),
      `${digits(row.value)} ${row.unit}`.padStart(14),
      `${row.ratio.toFixed(2).padStart(8)} (${row.spread.map((ratio) => ratio.toFixed(2)).join(' to ')})`.padEnd(26),
      row.p99 === undefined ? '' : `p99 ${row.p99.toFixed(1)} ms`,
      row.errors ? `ERRORS ${row.errors}` : '',
      row.foreign > FOREIGN_LIMIT ? `others used ${(row.foreign * 100).toFixed(0)} % of the processors` : '',
    ];
    return `${title}  ${figures.join('  ').trimEnd()}`;
  });
}

/** The table of ratios beside their targets, in Markdown. */
export function table(rows) {
  const scenarios = Map.groupBy(rows, ({ scenario }) => scenario);
  const lines = [...scenarios].map(([name, all]) => {
    const ours = all.find(({ isOurs }) => isOurs);
    const others = all.filter(({ contestant }) => contestant !== ours.contestant && contestant !== ours.yardstick);
    const least = ours.isLowerBetter ? '≤ ' : '≥ ';
    return [
      name,
      ours.yardstick,
      others.map(({ contestant, ratio }) => `${contestant} ${ratio.toFixed(2)}`).join(', '),
      `${ours.ratio.toFixed(2)} (${ours.spread.map((ratio) => ratio.toFixed(2)).join(' to ')})`,
      ours.must === undefined ? '' : least + ours.must,
      ours.goal === undefined ? '' : least + ours.goal,
      ours.mark ? MARKS[ours.mark] : '',
      besideData(rows, ours),
    ];
  });
  const cells = [
    ['scenario', 'yardstick = 1', 'others', 'Floodgate', 'must reach', 'go on for', '', 'of `data`'],
    ...lines,
  ];
  const widths = cells[0].map((_, column) => Math.max(...cells.map((line) => line[column].length)));
  const written = cells.map((line) => `| ${line.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`);
  return [written[0], `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...written.slice(1)].join('\n');
}

/** A ratio to the ratio of the row of `data` that does the same, where that was measured in this run. */
function besideData(rows, { like, ratio }) {
  const data = rows.find(({ isOurs, scenario }) => isOurs && scenario === like);
  if (!data) return '';
  const share = ratio / data.ratio;
  return `${share.toFixed(2)} ${share >= LEAST_OF_DATA ? MARKS.reached : MARKS.missed}`;
}
