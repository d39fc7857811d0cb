// What the operating system says: which core runs what, who else used the processors, and how much memory a process has.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';

/** Servers under test have a core of their own; load, PostgreSQL, Redis and this runner share the other. */
export const SERVER_CORE = '0';
export const LOAD_CORE = '1';
export const ALL_CORES = `0-${cpus().length - 1}`;
const JIFFIES_PER_SECOND = 100;

/** Whether a program is there, by its name on the PATH. */
export const has = (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;

/** @throws Error in one sentence, where the bench cannot run */
export function assertMachine() {
  if (process.platform !== 'linux' || cpus().length < 2) throw new Error('The bench needs Linux and two cores.');
  if (!has('taskset')) throw new Error('The bench needs taskset: apt-get install util-linux');
  if (!has('redis-server')) throw new Error('The bench needs redis-server: apt-get install redis-server');
}

/** Keeps a process, its threads and its descendants on these cores; what they start later inherits it. */
export function pin(pid, cores) {
  for (const member of family(pid)) spawnSync('taskset', ['-acp', cores, String(member)], { stdio: 'ignore' });
}

/** The process and all its descendants. */
export function family(pid) {
  const children = readProc(`${pid}/task/${pid}/children`)?.trim().split(' ').filter(Boolean).map(Number) ?? [];
  return [pid, ...children.flatMap(family)];
}

/** Processes that this run has started, but which are nobody's children. */
const adopted = [];
export const adopt = (pid) => adopted.push(pid);

/** Starts a clock. @returns a function that says which share of all cores others have used since, 0 to 1 */
export function watchForeign() {
  const [began, busyBefore, ownBefore] = [performance.now(), busy(), own()];
  return () => {
    const jiffies = ((performance.now() - began) / 1000) * JIFFIES_PER_SECOND * cpus().length;
    return Math.max(0, busy() - busyBefore - (own() - ownBefore)) / jiffies;
  };
}

/** Jiffies in which any core was busy, or taken by the host of a virtual machine. */
function busy() {
  const [user, nice, system, , , irq, softirq, steal] = readProc('stat')
    .split('\n')[0]
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return user + nice + system + irq + softirq + steal;
}

/** Jiffies of this process, of what it adopted and of their descendants, those that have ended included. */
function own() {
  return [process.pid, ...adopted].flatMap(family).reduce((sum, pid) => {
    const fields = readProc(`${pid}/stat`)?.split(') ')[1].split(' ').map(Number);
    return fields ? sum + fields[11] + fields[12] + fields[13] + fields[14] : sum;
  }, 0);
}

/** @returns { peak, now }: resident memory of a process in MiB, at its largest since `forgetPeak` and at the moment */
export function memory(pid) {
  const status = readProc(`${pid}/status`);
  const mebibytes = (name) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)[1]) / 1024;
  return { peak: mebibytes('VmHWM'), now: mebibytes('VmRSS') };
}

/** From here on the peak is counted anew, see proc(5) on clear_refs. */
export function forgetPeak(pid) {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Undefined when the process has ended meanwhile. */
function readProc(path) {
  try {
    return readFileSync(`/proc/${path}`, 'utf8');
  } catch {
    return undefined;
  }
}
