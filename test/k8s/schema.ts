import type { Check, Manifest } from './objects.js';
import { idOf } from './objects.js';
import { complaintsBy, type Model } from './schema-model.js';
import { OTHER_KINDS } from './schema-others.js';

/** Packages with the schemas of custom resources, by API group. */
const PACKAGES: Record<string, string> = {
  'external-secrets.io': '@kubernetes-models/external-secrets',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  'keda.sh': '@kubernetes-models/keda',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'postgresql.cnpg.io': '@kubernetes-models/cloudnative-pg',
};

/** Types, required fields, enums, and names of fields at any depth, by the schemas of Kubernetes and of the operators. */
export const schemaCheck: Check = async (objects) => {
  const said = await Promise.all(objects.map(complaintsOf));
  return objects.flatMap((object, index) => (said[index] ?? []).map((line) => `${idOf(object)}: ${line}`));
};

async function complaintsOf(object: Manifest): Promise<string[]> {
  const other = OTHER_KINDS[`${object.apiVersion} ${object.kind}`];
  if (other) {
    const issues = other.safeParse(object).error?.issues ?? [];
    return issues.map(({ path, message }) => `/${path.join('/')} ${message}`);
  }
  const model = await modelOf(object);
  return model ? complaintsBy(model, object) : [`no schema for ${object.apiVersion}`];
}

async function modelOf({ apiVersion, kind }: Manifest): Promise<Model | undefined> {
  const group = apiVersion.split('/').slice(0, -1).join();
  try {
    return (await import(`${PACKAGES[group] ?? 'kubernetes-models'}/${apiVersion}/${kind}`))[kind];
  } catch {
    return undefined;
  }
}
