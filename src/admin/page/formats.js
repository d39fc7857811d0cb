// How figures are written.
const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat(undefined, { notation: 'compact', maximumFractionDigits: 1 });

export const number = (value) => (value < 10 ? fine : whole).format(value);
/** For the axis of a chart, which has little room. */
export const compact = (value) => short.format(value);
export const percent = (value) => `${fine.format(100 * value)} %`;
export const bytes = (value) => `${whole.format(value / 1_048_576)} MiB`;
/** The counts say no more of what is faster than the narrowest bucket. */
export const duration = (seconds) => (seconds < 0.005 ? '< 5 ms' : exactDuration(seconds));
export const exactDuration = (seconds) =>
  seconds < 1 ? `${fine.format(1000 * seconds)} ms` : `${fine.format(seconds)} s`;
export const orNone = (value, format) => (value === null || value === undefined ? '–' : format(value));
