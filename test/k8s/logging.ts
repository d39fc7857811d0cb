import { spawnSync } from 'node:child_process';
import { load } from 'js-yaml';
import {
  bytesOf,
  type Check,
  type Container,
  type Manifest,
  named,
  ofKind,
  type Workload,
  workloadsOf,
} from './objects.js';

/** The largest size of a chunk of Fluent Bit, in memory and on disk. */
const CHUNK_BYTES = 2_000_000;

interface Shipping {
  service: { 'storage.path': string; 'storage.max_chunks_up'?: number };
  pipeline: {
    inputs: { db: string; 'storage.type'?: string }[];
    outputs: { index: string; retry_limit?: unknown; 'storage.total_limit_size'?: string }[];
  };
}

/** Unsent lines take a bounded part of a node's disk and memory, and every node ships its log. */
export const shippingCheck: Check = (objects) =>
  ofKind<Workload>(objects, 'DaemonSet').flatMap((shipper) => {
    const { tolerations = [], containers, volumes = [] } = shipper.spec.template.spec;
    const [container] = containers as [Container];
    const { service, pipeline } = shippingOf(objects);
    const volumeOf = (path: string) => {
      const mount = container.volumeMounts?.find(({ mountPath }) => path.startsWith(mountPath));
      return volumes.find(({ name }) => name === mount?.name);
    };
    const room = bytesOf(
      (volumeOf(service['storage.path'])?.emptyDir as { sizeLimit?: string } | undefined)?.sizeLimit,
    );
    const memory = bytesOf(container.resources?.limits?.memory);
    const unsent = pipeline.outputs.reduce((sum, output) => sum + bytesOf(output['storage.total_limit_size']), 0);
    const written = container.volumeMounts?.filter(({ readOnly }) => !readOnly).map(({ name }) => name) ?? [];
    const onNode = volumes.filter(({ name, hostPath }) => hostPath && written.includes(name)).map(({ name }) => name);
    return [
      ...(unsent > 0 && unsent < room ? [] : [`keeps ${unsent} bytes that are not sent in ${room}`]),
      ...((service['storage.max_chunks_up'] ?? 128) * CHUNK_BYTES < memory / 2 ? [] : ['its chunks take its memory']),
      ...pipeline.outputs
        .filter(({ retry_limit }) => !Number.isInteger(retry_limit))
        .map(({ retry_limit }) => `tries ${retry_limit}`),
      ...onNode
        .filter((name) => !pipeline.inputs.every(({ db }) => volumeOf(db)?.name === name))
        .map((name) => `writes to the node's ${name}`),
      ...(tolerations.some(({ operator, key, effect }) => operator === 'Exists' && !key && !effect)
        ? []
        : ['leaves tainted nodes out']),
      // This endpoint reports whether Elasticsearch accepts the lines.
      ...(container.livenessProbe?.httpGet?.path === '/api/v1/health' ? ['is restarted for Elasticsearch'] : []),
    ];
  });

const shippingOf = (objects: Manifest[]) =>
  ofKind(objects, 'ConfigMap')
    .flatMap(({ data }) => (data?.['fluent-bit.yaml'] ? [load(data['fluent-bit.yaml']) as Shipping] : []))
    .at(0) as Shipping;

/** Elasticsearch gets the retention of lines, for future indices and for existing ones. */
export const retentionCheck: Check = (objects) => {
  if (ofKind(objects, 'Elasticsearch').length === 0) return [];
  const told = requestsOf(named<Workload>(workloadsOf(objects), 'CronJob', 'log-retention'));
  const stream = shippingOf(objects).pipeline.outputs[0]?.index;
  const expected: Record<string, RegExp> = {
    '_component_template/logs@custom':
      /^\{"template":\{"settings":\{"index.lifecycle.prefer_ilm":false\},"lifecycle":\{"data_retention":"\d+d"\}\}\}$/,
    [`_data_stream/${stream}`]: /^$/,
    [`${stream}/_settings`]: /^\{"index.lifecycle.prefer_ilm":false\}$/,
    [`_data_stream/${stream}/_lifecycle`]: /^\{"data_retention":"\d+d"\}$/,
  };
  return Object.entries(expected)
    .filter(([path, body]) => !body.test(told[path] ?? 'nothing'))
    .map(([path]) => `${path} is told ${told[path]}`);
};

/** The requests of a container by path: its script is run with a curl that only prints its arguments. */
function requestsOf({ spec }: Workload): Record<string, string> {
  const [{ command = [], env = [] }] = spec.template.spec.containers as [Container];
  const curl = `curl() { body=; while [ $# -gt 0 ]; do case $1 in --data) body=$2;; https://*) url=$1;; esac; shift; done; echo "$url $body"; }\n`;
  const values = Object.fromEntries(env.map(({ name, value = 'secret' }) => [name, value]));
  const { stdout } = spawnSync('sh', ['-euc', curl + command.at(-1)], { env: values, encoding: 'utf8' });
  const asked = stdout
    .trim()
    .split('\n')
    .map((line) => /^https:\/\/[^/]+\/(\S+) ?(.*)$/.exec(line) ?? []);
  return Object.fromEntries(asked.map(([, path = '', body = '']) => [path, body]));
}
