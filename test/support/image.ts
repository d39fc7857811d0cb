import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { need } from './program.js';

/** The base image with this Node, made once on a machine. */
const BASE = `localhost/floodgate-base:${process.versions.node}`;
export const IMAGE = 'localhost/floodgate:test';
export const LIMIT = 256 * 1024 * 1024;
const root = fileURLToPath(new URL('../..', import.meta.url));
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/** As strict as a cluster's restricted policy. Podman would raise limits by default, which not every root may. */
const CONFINED = [
  ...['--read-only', '--cap-drop', 'all', '--security-opt', 'no-new-privileges', '--user', '1000:1000'],
  ...['--memory', String(LIMIT), '--memory-swap', String(LIMIT), '--network', 'host'],
  ...['--ulimit', 'nofile=20000:20000', '--ulimit', 'nproc=4096:4096'],
];

/** @returns the output @throws Error with the output, when it fails */
const run = (program: string, args: string[]) => execFileSync(program, args, { encoding: 'utf8', stdio: 'pipe' });
const podman = (...args: string[]) => run('podman', ['--runtime', 'runc', '--cgroup-manager', 'cgroupfs', ...args]);

/** Builds the Dockerfile unchanged, on a base that is made here, so that no image registry is needed. */
export function buildImage(): void {
  for (const program of ['debootstrap', 'buildah', 'podman', 'runc'] as const) need(program);
  if (spawnSync('podman', ['image', 'exists', BASE]).status !== 0) makeBase();
  const how = ['--isolation', 'chroot', '--network', 'host', '--pull-never'];
  run('buildah', [
    'bud',
    ...how,
    '--build-arg',
    `NODE_IMAGE=${BASE}`,
    '--build-arg',
    'REVISION=abc',
    '-t',
    IMAGE,
    root,
  ]);
}

/** The contents of Node's slim image: Debian, this Node with its libatomic, npm and a user 1000; and this machine's npm configuration. */
function makeBase(): void {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-base-'));
  try {
    run('debootstrap', ['--variant=minbase', '--include=libatomic1', 'bookworm', folder]);
    cpSync(process.execPath, join(folder, 'usr/local/bin/node'));
    run('npm', ['install', '--global', '--prefix', join(folder, 'usr/local'), 'npm@11.21.2']);
    mkdirSync(join(folder, 'usr/local/etc'), { recursive: true });
    const registry = run('npm', ['config', 'get', 'registry']).trim();
    const ours = process.env.NODE_EXTRA_CA_CERTS;
    if (ours) cpSync(ours, join(folder, CERTIFICATES), { dereference: true });
    writeFileSync(
      join(folder, 'usr/local/etc/npmrc'),
      `registry=${registry}\n${ours ? `cafile=${CERTIFICATES}\n` : ''}`,
    );
    run('chroot', [folder, 'useradd', '--uid', '1000', '--create-home', 'node']);
    const leftOut = [
      'var/cache/apt/archives/*.deb',
      'var/lib/apt/lists/*',
      'usr/share/doc',
      'usr/share/man',
      'usr/share/locale',
    ];
    const tar = ['tar', '-C', folder, ...leftOut.map((path) => `--exclude='./${path}'`), '-c', '.'].join(' ');
    run('sh', ['-c', `${tar} | podman import - ${BASE}`]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const removeImage = (): string => run('podman', ['rmi', '--force', IMAGE]);

/** The image's configuration and its layers. */
export const inspectImage = () => JSON.parse(run('podman', ['image', 'inspect', IMAGE]))[0];

/** The compressed size in bytes, as it is pushed to a registry. */
export function compressedSize(): number {
  const folder = mkdtempSync(join(tmpdir(), 'floodgate-image-'));
  try {
    run('podman', ['push', '--quiet', IMAGE, `oci:${folder}`]);
    const read = (digest: string) =>
      JSON.parse(readFileSync(join(folder, 'blobs', digest.replace(':', '/')), 'utf8')) as {
        layers: { size: number }[];
      };
    const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'));
    return read(index.manifests[0].digest).layers.reduce((sum, { size }) => sum + size, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const settingsOf = (environment: Record<string, string>) =>
  Object.entries(environment).flatMap(([name, value]) => ['--env', `${name}=${value}`]);

/** Runs the image until it exits by itself. */
export function runImage(environment: Record<string, string>, ...args: string[]) {
  const how = ['--runtime', 'runc', '--cgroup-manager', 'cgroupfs', 'run', '--rm', ...CONFINED];
  const { status, stdout, stderr } = spawnSync('podman', [...how, ...settingsOf(environment), IMAGE, ...args], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

/** A running container of the image, whose log podman keeps. */
export class Container {
  private constructor(private readonly id: string) {}

  static start(environment: Record<string, string>): Container {
    return new Container(podman('run', '--detach', ...CONFINED, ...settingsOf(environment), IMAGE).trim());
  }

  get log(): string {
    return spawnSync('podman', ['logs', this.id], { encoding: 'utf8', maxBuffer: 1e9 }).stdout;
  }

  /** Its peak memory in bytes, as the limit counts it. */
  get peak(): number {
    const { Pid } = this.state;
    const cgroup = (version: RegExp) => version.exec(readFileSync(`/proc/${Pid}/cgroup`, 'utf8'))?.[1];
    const first = cgroup(/:memory:(.*)/);
    const path = first
      ? `/sys/fs/cgroup/memory${first}/memory.max_usage_in_bytes`
      : `/sys/fs/cgroup${cgroup(/^0::(.*)/m)}/memory.peak`;
    return Number(readFileSync(path, 'utf8'));
  }

  get state(): { Pid: number; Running: boolean; ExitCode: number; OOMKilled: boolean } {
    return JSON.parse(podman('container', 'inspect', this.id))[0].State;
  }

  signal(name: string): void {
    podman('kill', '--signal', name, this.id);
  }

  /** @returns its exit code */
  ended(): number {
    return Number(podman('wait', this.id));
  }

  remove(): void {
    podman('rm', '--force', this.id);
  }
}
