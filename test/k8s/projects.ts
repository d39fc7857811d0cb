import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';

/** A project whose kinds the manifests use, and the place of their schemas in its Go module. */
export interface Project {
  name: string;
  /** The API groups of its kinds. All other groups belong to Kubernetes. */
  groups: string[];
  module: string;
  folder: string;
  /** The oldest version that docs/operations.md promises, and the newest one that was tried. */
  versions: [oldest: string, newest: string];
}

export const KUBERNETES: Project = {
  name: 'Kubernetes',
  groups: [],
  module: 'k8s.io/kubernetes',
  folder: 'api/openapi-spec/v3',
  versions: ['1.30.14', '1.36.3'],
};

export const PROJECTS: Project[] = [
  KUBERNETES,
  {
    name: 'Gateway API',
    groups: ['gateway.networking.k8s.io'],
    module: 'sigs.k8s.io/gateway-api',
    folder: 'config/crd/standard',
    versions: ['1.5.1', '1.6.3'],
  },
  {
    name: 'NGINX Gateway Fabric',
    groups: ['gateway.nginx.org'],
    module: 'github.com/nginx/nginx-gateway-fabric/v2',
    folder: 'config/crd/bases',
    versions: ['2.5.0', '2.6.7'],
  },
  {
    name: 'CloudNativePG',
    groups: ['postgresql.cnpg.io'],
    module: 'github.com/cloudnative-pg/cloudnative-pg',
    folder: 'config/crd/bases',
    versions: ['1.28.0', '1.30.1'],
  },
  {
    name: 'Barman Cloud plugin',
    groups: ['barmancloud.cnpg.io'],
    module: 'github.com/cloudnative-pg/plugin-barman-cloud',
    folder: 'config/crd/bases',
    versions: ['0.13.0', '0.15.0'],
  },
  {
    name: 'KEDA',
    groups: ['keda.sh'],
    module: 'github.com/kedacore/keda/v2',
    folder: 'config/crd/bases',
    versions: ['2.17.0', '2.21.0'],
  },
  {
    name: 'prometheus-operator',
    groups: ['monitoring.coreos.com'],
    module: 'github.com/prometheus-operator/prometheus-operator',
    folder: 'example/prometheus-operator-crd',
    versions: ['0.75.0', '0.85.0'],
  },
  {
    name: 'ECK',
    groups: ['elasticsearch.k8s.elastic.co', 'kibana.k8s.elastic.co'],
    module: 'github.com/elastic/cloud-on-k8s/v3',
    folder: 'config/crds/v1/resources',
    versions: ['3.2.0', '3.5.0'],
  },
  {
    name: 'External Secrets',
    groups: ['external-secrets.io'],
    module: 'github.com/external-secrets/external-secrets',
    folder: 'config/crds/bases',
    versions: ['0.16.2', '1.3.2'],
  },
];

interface Download {
  Path: string;
  Version: string;
  Zip?: string;
  Error?: string;
}

export interface Wanted {
  project: Project;
  version: string;
}

/** The folder with the schemas of a project's version, or the reason why it is not available. */
export interface Found extends Wanted {
  folder?: string;
  refused?: string;
}

/**
 * Downloads modules into Go's cache, which verifies their checksums.
 * @throws Error with CI=true, when one is missing for any other reason than a refusal of the registry
 */
export function download(go: string, wanted: Wanted[]): Found[] {
  const modules = wanted.map(({ project, version }) => `${project.module}@v${version}`);
  // Ignores any module in a folder above, and uses exactly this Go.
  const env = { ...process.env, GOFLAGS: '', GOTOOLCHAIN: 'local' };
  const options = { cwd: tmpdir(), env, encoding: 'utf8', timeout: 600_000 } as const;
  const { error: failure, stdout, stderr } = spawnSync(go, ['mod', 'download', '-json', ...modules], options);
  if (failure) throw failure;
  const said: Download[] = JSON.parse(`[${stdout.trim().replaceAll('\n}\n{', '\n},{')}]`);
  const broken = said.flatMap(({ Zip, Error: error }) => (!Zip && error && !REFUSED.test(error) ? [error] : []));
  if ((broken.length > 0 && process.env.CI === 'true') || said.length !== wanted.length)
    throw new Error([...broken, stderr].join('\n'));
  return wanted.map(({ project, version }, index) => {
    const one = said.find(({ Path, Version }) => `${Path}@${Version}` === modules[index]);
    // Go reports a module's folder only when it is new enough for the module, but unpacks it anyway.
    const folder = one?.Zip?.replace('/cache/download/', '/')
      .replace('/@v/', '@')
      .replace(/\.zip$/, '');
    return { project, version, ...(folder ? { folder: `${folder}/${project.folder}` } : { refused: one?.Error }) };
  });
}

/** The answers of a registry that refuses a version. */
const REFUSED = /: (?:403 Forbidden|404 Not Found|410 Gone)/;

/** The project that owns an object's kind. */
export function ownerOf({ apiVersion }: { apiVersion: string }): Project {
  const group = apiVersion.split('/').slice(0, -1).join();
  return PROJECTS.find(({ groups }) => groups.includes(group)) ?? KUBERNETES;
}
