// Compares Floodgate, as built for production, with what could be written by hand and with the usual way.
//
//   npm run bench                        all scenarios: 7 rounds of 2 s per contestant, half an hour and more
//   npm run bench -- --quick             3 rounds of 1 s, smaller tables: to see that it works, not to quote
//   npm run bench -- --only cached       only scenarios whose name, or a word of it, begins so; may be given several times
//   npm run bench -- --list              their names
//   npm run bench -- --json FILE --svg FILE
//   npm run bench -- --only growth       what grows with the rows, at --sizes 0.1,1 (in millions); runs only when it is named.
//                                        With --partitioned, on the partitions of deploy/partition-records
//
// It needs Linux with two cores, taskset and redis-server; wrk is used when it is there, else autocannon; bulk and
// export need psql. Every figure is the median of ratios to a yardstick that was measured right before or after.
// Ends with 1 when a request failed or a contestant answered otherwise; missed targets are only marked.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { chart } from './chart.mjs';
import { grow, growthTable, partition } from './growth.mjs';
import { growthChart } from './growth-chart.mjs';
import { loader } from './load.mjs';
import { assertMachine, LOAD_CORE, pin } from './machine.mjs';
import { play, Skipped } from './measure.mjs';
import { orderScenarios } from './orders.mjs';
import { processScenarios } from './processes.mjs';
import { describe, table } from './report.mjs';
import { loadScenarios } from './scenarios.mjs';
import { stopAll } from './servers.mjs';
import { Stage } from './stage.mjs';
import { transferScenarios } from './transfers.mjs';

const scenarios = [...loadScenarios, ...orderScenarios, ...processScenarios, ...transferScenarios];

const { values: asked } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    list: { type: 'boolean', default: false },
    json: { type: 'string' },
    svg: { type: 'string' },
    sizes: { type: 'string', default: '0.1,1' },
    partitioned: { type: 'boolean', default: false },
  },
});
const options = asked.quick
  ? { rounds: 3, seconds: 1, retries: 1, bulkRecords: 50_000, exportRecords: 200_000 }
  : { rounds: 7, seconds: 2, retries: 3, bulkRecords: 200_000, exportRecords: 1_000_000 };

async function main() {
  if (asked.only?.includes('growth')) return measureGrowth();
  const chosen = scenarios.filter(
    ({ name }) => !asked.only || asked.only.some((part) => `-${name}`.includes(`-${part}`)),
  );
  if (asked.list) return console.log(chosen.map(({ name }) => name).join('\n'));
  if (chosen.length === 0)
    throw new Error(`There is no such scenario: ${scenarios.map(({ name }) => name).join(', ')}`);
  assertMachine();
  // What is started from here on stays off the servers' core, unless it is sent there.
  pin(process.pid, LOAD_CORE);
  const stage = await Stage.open();
  const machine = await describeMachine(stage);
  console.log(Object.values(machine).join('; '));
  const rows = [];
  const skipped = [];
  const failed = [];
  for (const scenario of chosen) {
    try {
      const result = await play(scenario, stage, options);
      rows.push(...result);
      console.log(describe(result).join('\n'));
    } catch (error) {
      (error instanceof Skipped ? skipped : failed).push(`${scenario.name}: ${error.message}`);
      console.log(`\n${scenario.name} did not run: ${error.message}`);
      if (ending) return;
    } finally {
      await stage.clear();
    }
  }
  console.log(`\n${table(rows)}`);
  if (asked.json)
    writeFileSync(asked.json, `${JSON.stringify({ machine, options, rows, skipped, failed }, null, 2)}\n`);
  if (asked.svg) writeFileSync(asked.svg, chart(rows, Object.values(machine).join('; ')));
  for (const line of [...skipped, ...failed]) console.log(`Did not run: ${line}`);
  if (failed.length > 0) throw new Error(`${failed.length} of ${chosen.length} scenarios failed.`);
  if (rows.some(({ errors }) => errors > 0)) throw new Error('Requests failed: these figures are worth nothing.');
}

/** Alone, since it empties the table of records, and compares nobody. */
async function measureGrowth() {
  assertMachine();
  const sizes = asked.sizes.split(',').map((millions) => Math.round(Number(millions) * 1_000_000));
  if (asked.only.length > 1 || !sizes.every((rows) => rows >= 1000))
    throw new Error('growth runs alone, at sizes in millions of rows: --only growth --sizes 0.1,1,10');
  const stage = await Stage.open();
  const { processor, node, postgres } = await describeMachine(stage);
  if (asked.partitioned) await partition(stage);
  const found = await grow(stage, sizes);
  console.log(`\n${growthTable(found)}`);
  if (asked.json) writeFileSync(asked.json, `${JSON.stringify({ processor, node, postgres, found }, null, 2)}\n`);
  if (asked.svg) writeFileSync(asked.svg, growthChart(found, [processor, node, postgres].join('; ')));
}

async function describeMachine(stage) {
  const [{ server_version: postgres }] = await stage.sql('SHOW server_version');
  const redis = /v=(\S+)/.exec(spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout)[1];
  return {
    processor: `${cpus()[0].model}, ${cpus().length} cores`,
    node: `Node ${process.version}`,
    postgres: `PostgreSQL ${postgres}`,
    redis: `Redis ${redis}`,
    load: loader,
    rounds: `${options.rounds} rounds of ${options.seconds} s`,
  };
}

let ending;
const end = () => {
  ending ??= stopAll();
  return ending;
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => end().finally(() => process.exit(130)));
process.once('uncaughtException', (error) => {
  console.error(error);
  end().finally(() => process.exit(1));
});
try {
  await main();
} catch (error) {
  // What fails because everything is being ended has nothing to say.
  if (!ending) console.error(error.message);
  process.exitCode = 1;
} finally {
  await end();
}
