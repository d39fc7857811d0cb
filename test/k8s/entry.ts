import { loadConfig } from '../../src/config.js';
import { appContainerOf, type Check, idOf, type Manifest, named, ofKind } from './objects.js';
import { environmentOf } from './settings.js';

const OPEN = ['/api', '/docs', '/openapi.json', '/.well-known'];

interface Route extends Manifest {
  spec: {
    rules: { matches?: { path?: { type: string; value: string } }[]; filters?: unknown[]; backendRefs?: unknown[] }[];
  };
}

interface Ingress extends Manifest {
  spec: { defaultBackend?: unknown; rules: { http: { paths: { path: string; pathType: string }[] } }[] };
}

interface SettingsPolicy extends Manifest {
  spec: { targetRef: { kind: string; name: string }; body: { maxSize: string } };
}

const isOpen = (path: string) => OPEN.some((open) => path === open || path.startsWith(`${open}/`));

/** All public routes of the app, and no others, are reachable from outside. */
export const entryCheck: Check = (objects) => [
  ...ofKind<Route>(objects, 'HTTPRoute')
    .filter(({ spec }) => spec.rules.some(({ filters, backendRefs }) => !filters && !backendRefs))
    .map((route) => `${idOf(route)} does nothing`),
  ...ofKind<Route>(objects, 'HTTPRoute').flatMap((route) =>
    route.spec.rules
      .filter(({ backendRefs }) => backendRefs)
      .flatMap(({ matches = [{}] }) => matches.map(({ path }) => path?.value ?? '/'))
      .filter((path) => !isOpen(path))
      .map((path) => `${idOf(route)} opens ${path}`),
  ),
  ...ofKind<Route>(objects, 'HTTPRoute').flatMap((route) =>
    route.spec.rules
      .flatMap(({ matches = [] }) => matches.flatMap(({ path }) => path ?? []))
      // NGINX Gateway Fabric anchors an expression at the start of the path, but not at its end.
      .filter(({ type, value }) => type === 'RegularExpression' && !value.endsWith('$'))
      .map(({ value }) => `${idOf(route)} has no end to ${value}`),
  ),
  ...ofKind<Ingress>(objects, 'Ingress').flatMap((ingress) => [
    ...(ingress.spec.defaultBackend ? [`${idOf(ingress)} opens everything else`] : []),
    ...pathsOf(ingress)
      .filter((path) => !isOpen(path))
      .map((path) => `${idOf(ingress)} opens ${path}`),
  ]),
  ...entrances(objects).flatMap(({ by, paths }) =>
    OPEN.filter((open) => !paths.includes(open)).map((open) => `${by} leads nobody to ${open}`),
  ),
];

const pathsOf = ({ spec }: Ingress) => spec.rules.flatMap(({ http }) => http.paths.map(({ path }) => path));

function entrances(objects: Manifest[]) {
  const routed = ofKind<Route>(objects, 'HTTPRoute')
    .flatMap(({ spec }) => spec.rules.filter(({ backendRefs }) => backendRefs))
    .flatMap(({ matches = [] }) => matches.map(({ path }) => path?.value));
  const gateways = ofKind(objects, 'Gateway').map((gateway) => ({ by: idOf(gateway), paths: routed }));
  const ingresses = ofKind<Ingress>(objects, 'Ingress').map((one) => ({ by: idOf(one), paths: pathsOf(one) }));
  return [...gateways, ...ingresses];
}

/**
 * Only the entry of X-Forwarded-For that the one proxy in front adds is trusted, and none without a proxy: a range would trust
 * callers within it, too.
 */
export const trustCheck: Check = (objects) => {
  const { TRUST_PROXY } = environmentOf(objects, appContainerOf(objects)).environment;
  const expected = entrances(objects).length > 0 ? '1' : undefined;
  return TRUST_PROXY === expected ? [] : [`TRUST_PROXY is ${TRUST_PROXY}, not ${expected}`];
};

/** The gateway accepts all bodies that the app accepts, and has no larger limit. */
export const bodiesCheck: Check = (objects) => {
  if (ofKind(objects, 'Gateway').length === 0) return [];
  const config = loadConfig(environmentOf(objects, appContainerOf(objects)).environment);
  const limits = { floodgate: 'BODY_LIMIT_BYTES', 'floodgate-streams': 'BULK_LIMIT_BYTES' } as const;
  return Object.entries(limits).flatMap(([name, setting]) => {
    const { maxSize } = named<SettingsPolicy>(objects, 'ClientSettingsPolicy', name).spec.body;
    const bytes = Number.parseInt(maxSize, 10) * (maxSize.endsWith('m') ? 2 ** 20 : Number.NaN);
    return bytes === config[setting] ? [] : [`${name} takes ${maxSize}, not as ${setting}`];
  });
};
