import type { ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Records a process until it has ended, so that the end of the run ends it when its test did not.
 * @returns the process
 */
export function started<Child extends ChildProcess>(child: Child): Child {
  const folder = process.env.TEST_PROCESSES;
  // Scripts use these helpers, too.
  if (!folder || !child.pid) return child;
  const note = join(folder, String(child.pid));
  writeFileSync(note, '');
  child.once('exit', () => rmSync(note, { force: true }));
  return child;
}
