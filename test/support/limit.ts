/** A test that crosses a limit of docs/limits.md on a running process, named by its variable or constant, or for Node's by its description. */
export const limit = (name: string, work: () => Promise<void>): void => it(`keeps ${name}`, work);
