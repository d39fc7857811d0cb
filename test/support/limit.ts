/** A test that crosses a limit of docs/limits.md on a running process, by its variable or constant; of Node's, by what it is of. */
export const limit = (name: string, work: () => Promise<void>): void => it(`keeps ${name}`, work);
