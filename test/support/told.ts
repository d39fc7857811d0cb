/** What somebody was told of the changes of a collection's records: by a stream, by lines or by a webhook. */
export class Told {
  /** For each record, the versions in the order in which they were first told; 0 for its removal. */
  readonly seen = new Map<string, number[]>();
  /** What was told in an order that no commits had. */
  readonly disorder: string[] = [];
  /** Changes that came again. */
  repeated = 0;
  /** Times that the changes were said to be incomplete. */
  resets = 0;

  /** The number of changes. */
  get changes(): number {
    return [...this.seen.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** @param kind of the change, such as created */
  take(kind: string, data: { id?: string; version: number }): void {
    if (kind === 'reset') this.resets++;
    if (data.id === undefined) return;
    const versions = this.seen.get(data.id) ?? [];
    this.seen.set(data.id, versions);
    const version = kind === 'deleted' ? 0 : data.version;
    if (versions.includes(version)) {
      this.repeated++;
      return;
    }
    // A removal tells of the record as it was.
    if (data.version !== (versions.at(-1) ?? 0) + (kind === 'deleted' ? 0 : 1))
      this.disorder.push(`${data.id}: ${versions}, then ${kind} ${data.version}`);
    versions.push(version);
  }

  /**
   * What it was not told, or wrongly.
   * @param last the last version of each record; 0 for one that was removed
   */
  differences(last: Map<string, number>): string[] {
    const differences: string[] = [];
    for (const [id, version] of last) {
      const versions = new Set(this.seen.get(id));
      if (version === 0 && !versions.has(0)) differences.push(`${id}: not its removal`);
      for (let one = 1; one <= version; one++)
        if (!versions.has(one)) differences.push(`${id}: not ${one} of ${version}`);
    }
    for (const [id, versions] of this.seen) {
      const version = last.get(id);
      const isTrue = version === 0 || versions.every((one) => one > 0 && one <= (version ?? 0));
      if (!isTrue) differences.push(`${id}: ${versions}, which is ${version ?? 'no record'}`);
    }
    return differences;
  }
}
