import { readdirSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

export const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];
const PATIENCE_MS = 5000;

export default async function globalTeardown({ watch, watchAll }) {
  await endRun();
  // Jest would wait for ever for sockets and the like that a failed test has left open.
  if (!watch && !watchAll) setTimeout(() => process.exit(), PATIENCE_MS).unref();
}

/** Cleans up on Ctrl-C, too. */
export async function interrupt(signal) {
  await endRun();
  process.exit(128 + constants.signals[signal]);
}

/** When Jest itself ends early, as it does when a single file throws after its test, ends everything at once. */
export function abandon() {
  const { processes, postgres } = globalThis.testRun;
  for (const pid of pidsIn(processes)) isSent(pid, 'SIGKILL');
  postgres?.kill();
}

async function endRun() {
  const { folder, processes, starting } = globalThis.testRun ?? {};
  delete globalThis.testRun;
  process.off('exit', abandon);
  for (const signal of SIGNALS) process.off(signal, interrupt);
  if (!folder) return;
  await endProcesses(pidsIn(processes));
  const postgres = await starting?.catch(() => undefined);
  if (postgres) {
    await postgres.stop();
    // In watch mode the next run starts its own.
    delete process.env.TEST_DATABASE_URL;
  }
  rmSync(folder, { recursive: true, force: true });
}

/** Ends the processes that tests have left running, see support/started.ts, orderly or by force. */
async function endProcesses(pids) {
  const send = (signal) => pids.filter((pid) => isSent(pid, signal)).length > 0;
  send('SIGTERM');
  for (const end = Date.now() + PATIENCE_MS; send(0) && Date.now() < end; ) await sleep(50);
  send('SIGKILL');
}

const pidsIn = (processes) => readdirSync(processes).map(Number);

function isSent(pid, signal) {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
