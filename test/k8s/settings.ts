import { loadConfig, settings } from '../../src/config.js';
import type { SettingMeta } from '../../src/platform/setting.js';
import {
  appOf,
  appsOf,
  type Check,
  type Container,
  containersOf,
  type Manifest,
  named,
  ofKind,
  workloadsOf,
} from './objects.js';
import { printedSecrets } from './secret.js';

type Secrets = Record<string, Record<string, string>>;

/** The app starts with exactly the settings of its containers. */
export const settingsCheck: Check = (objects) =>
  appsOf(objects)
    .flatMap(containersOf)
    .flatMap((one) => startOf(objects, one));

function startOf(objects: Manifest[], container: Container): string[] {
  const { environment, complaints } = environmentOf(objects, container);
  const text = (container.env ?? []).map(({ value }) => value).join();
  const unknown = Object.keys(environment).filter((name) => !(name in settings.shape) && !text.includes(`$(${name})`));
  const said = [...complaints, ...unknown.map((name) => `${name} is no setting`)];
  if (environment.NODE_ENV !== 'production') said.push('NODE_ENV is not production');
  // Pods that start together would wait for each other's migrations, and a failed one would restart for ever.
  if (environment.MIGRATE_ON_START !== 'false') said.push('MIGRATE_ON_START is not false');
  try {
    loadConfig(environment);
  } catch (error) {
    said.push(...(error as Error).message.split('\n'));
  }
  return said.map((line) => `${container.name}: ${line}`);
}

/** The variables of a container as the kubelet resolves them: $(NAME) is replaced by an earlier variable. */
export function environmentOf(objects: Manifest[], { env = [], envFrom = [] }: Container) {
  const complaints: string[] = [];
  const environment: Record<string, string> = {};
  for (const { configMapRef } of envFrom) {
    if (configMapRef) Object.assign(environment, named(objects, 'ConfigMap', configMapRef.name).data);
  }
  const secrets = secretsOf(objects);
  for (const { name, value, valueFrom } of env) {
    if (value !== undefined && valueFrom) complaints.push(`${name} has a value of its own and one from elsewhere`);
    const { secretKeyRef } = valueFrom ?? {};
    const found = secretKeyRef
      ? secrets[secretKeyRef.name]?.[secretKeyRef.key]
      : value?.replace(/\$\((\w+)\)/g, (text, inner) => environment[inner] ?? text);
    if (found?.includes('$(')) complaints.push(`${name} names a variable that does not come before it`);
    if (found !== undefined) environment[name] = found;
    else if (!secretKeyRef?.optional)
      complaints.push(`${name} asks for ${secretKeyRef?.name}/${secretKeyRef?.key}, which nothing makes`);
  }
  return { environment, complaints };
}

/** The contents of the secrets that k8s/secrets.sh prints and of those that CloudNativePG makes. */
function secretsOf(objects: Manifest[]): Secrets {
  const made = ofKind(objects, 'Cluster').map(({ metadata: { name } }) => [`${name}-app`, { password: 'sample' }]);
  const printed = printedSecrets().map(({ metadata, stringData }) => [metadata.name, stringData]);
  return Object.fromEntries([...printed, ...made]);
}

/** Secrets are only referenced: none is in the repository, outside of a Secret, or among the arguments of a process. */
export const secretsCheck: Check = (objects) => {
  const isSecret = (name: string) => (schemaOf(name)?.meta() as SettingMeta | undefined)?.secret;
  const inSecrets = ofKind(objects, 'Secret').map(({ metadata }) => `Secret/${metadata.name} is in the repository`);
  const inMaps = ofKind(objects, 'ConfigMap').flatMap(({ metadata, data = {} }) =>
    Object.keys(data)
      .filter(isSecret)
      .map((name) => `ConfigMap/${metadata.name} holds ${name}`),
  );
  // A URL with $(NAME) in place of the password is not secret.
  const inTheOpen = containersOf(appOf(objects)).flatMap(({ name: container, env = [] }) =>
    env
      .filter(({ name, value }) => value && isSecret(name) && !/:\$\(\w+\)@/.test(value))
      .map(({ name }) => `${container} has ${name} in the open`),
  );
  const inArguments = workloadsOf(objects)
    .flatMap(containersOf)
    .flatMap(({ name: container, command, args, env = [] }) =>
      env
        .filter(
          ({ name, valueFrom }) => valueFrom?.secretKeyRef && [command, args].flat().join().includes(`$(${name})`),
        )
        .map(({ name }) => `${container} has ${name} among its arguments`),
    );
  return [...inSecrets, ...inMaps, ...inTheOpen, ...inArguments];
};

/** The first admin's password can be removed alone: it is in a separate secret, which may be missing. */
export const firstAdminCheck: Check = (objects) => {
  const names = containersOf(appOf(objects)).flatMap(({ env = [] }) =>
    env.filter(({ name }) => name.startsWith('ADMIN_')).map(({ valueFrom }) => valueFrom?.secretKeyRef),
  );
  const others = workloadsOf(objects)
    .flatMap(containersOf)
    .flatMap(({ env = [] }) => env)
    .filter(({ name }) => !name.startsWith('ADMIN_'))
    .map(({ valueFrom }) => valueFrom?.secretKeyRef?.name);
  return [
    ...(names.length === 2 ? [] : [`${names.length} variables for the first admin`]),
    ...names.filter((one) => !one?.optional).map((one) => `${one?.key} may not be missing`),
    ...names.filter((one) => others.includes(one?.name)).map((one) => `${one?.name} holds more than ${one?.key}`),
  ];
};

const schemaOf = (name: string) => settings.shape[name as keyof typeof settings.shape];
