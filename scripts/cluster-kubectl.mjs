import { spawnSync } from 'node:child_process';

/** kubectl, for one cluster. */
export class Kubectl {
  #context;
  #kinds = new Map();

  constructor(context) {
    this.#context = context;
  }

  run(args, input) {
    const options = { input, encoding: 'utf8', maxBuffer: 2 ** 26 };
    const done = spawnSync('kubectl', ['--context', this.#context, ...args], options);
    if (done.error) throw done.error;
    return done;
  }

  /** @returns undefined, having said why, where nobody answers */
  serverVersion() {
    const { status, stdout, stderr } = this.run(['version', '-o', 'json']);
    if (status === 0) return JSON.parse(stdout).serverVersion.gitVersion;
    console.error(stderr.trim());
  }

  /** @returns what was refused, and what the API server warns of */
  apply(options, objects) {
    const { status, stderr } = this.run(['apply', ...options, '-f', '-'], listOf(objects));
    const said = stderr.trim().split('\n').filter(Boolean);
    return status === 0 ? said : [`kubectl apply ${options.join(' ')}: ${status}`, ...said];
  }

  /** @returns what yet another apply would change */
  diff(objects) {
    const { status, stdout, stderr } = this.run(['diff', '--server-side', '-f', '-'], listOf(objects));
    return status === 0 ? [] : `kubectl diff: ${status}\n${stdout}${stderr}`.trim().split('\n');
  }

  remove(objects) {
    if (objects.length > 0) this.run(['delete', '--wait=false', '--ignore-not-found', '-f', '-'], listOf(objects));
  }

  namesOf(resources) {
    return JSON.parse(this.run(['get', resources, '-o', 'json']).stdout).items.map(({ metadata }) => metadata.name);
  }

  /** @returns the objects whose kinds the cluster does not know */
  lackingOf(objects) {
    this.#kinds.clear();
    return objects.filter(({ apiVersion, kind }) => !this.#kindsOf(apiVersion).includes(kind));
  }

  #kindsOf(apiVersion) {
    const known = this.#kinds.get(apiVersion);
    if (known) return known;
    const { status, stdout } = this.run([
      'get',
      '--raw',
      `/${apiVersion.includes('/') ? 'apis' : 'api'}/${apiVersion}`,
    ]);
    const kinds = status === 0 ? JSON.parse(stdout).resources.map(({ kind }) => kind) : [];
    this.#kinds.set(apiVersion, kinds);
    return kinds;
  }
}

const listOf = (items) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
