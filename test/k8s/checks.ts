import { connectionsCheck } from './connections.js';
import { bodiesCheck, entryCheck, trustCheck } from './entry.js';
import { containersCheck, imagesCheck, memoryCheck, priorityCheck, restrictedCheck, tokensCheck } from './hardening.js';
import { retentionCheck, shippingCheck } from './logging.js';
import { metricNamesCheck } from './metrics.js';
import { networkCheck } from './network.js';
import type { Check } from './objects.js';
import { spreadCheck } from './operated.js';
import { hostsCheck, listenersCheck, namespacesCheck, referencesCheck, volumesCheck } from './references.js';
import { rolesCheck } from './roles.js';
import { budgetCheck, graceCheck, hangingCheck, probesCheck, scalersCheck, strategyCheck } from './rollout.js';
import { portsCheck, selectorsCheck } from './selectors.js';
import { firstAdminCheck, secretsCheck, settingsCheck } from './settings.js';
import { watchedCheck } from './watched.js';

/** Everything that is checked of a rendered overlay, by what it promises. */
export const CHECKS = {
  'selects the pods that it means': selectorsCheck,
  'agrees on ports': portsCheck,
  'names only what is there': referencesCheck,
  'leads to servers that are there': hostsCheck,
  'hangs its routes on listeners': listenersCheck,
  'says where each object goes': namespacesCheck,
  'mounts its volumes': volumesCheck,
  'starts with what it sets': settingsCheck,
  'holds no secret': secretsCheck,
  'lets the first password go': firstAdminCheck,
  'serves as a role that cannot change the schema': rolesCheck,
  'probes three routes that the app has': probesCheck,
  'restarts what hangs': hangingCheck,
  'gives a pod the time to end': graceCheck,
  'takes no pod away before a new one is ready': strategyCheck,
  'has one autoscaler, and no number beside it': scalersCheck,
  'has connections for all its pods': connectionsCheck,
  'asks for metrics that are served': metricNamesCheck,
  'watches whatever callers depend on': watchedCheck,
  'ships its log without filling a node': shippingCheck,
  'keeps its log for a while': retentionCheck,
  'stands in several zones, and ends in one at a time': spreadCheck,
  'lets nodes be drained, a pod at a time': budgetCheck,
  'lets through whom it means to, and nobody else': networkCheck,
  'opens to the world what is for the world': entryCheck,
  'believes of addresses what its proxy adds': trustCheck,
  'takes bodies as large as the app does': bodiesCheck,
  'names the version of every image': imagesCheck,
  'requests the memory that it may use': memoryCheck,
  'leaves a container no rights that it does not need': containersCheck,
  'is restricted as its namespace enforces': restrictedCheck,
  'goes before what may wait': priorityCheck,
  'gives no pod a key to the cluster': tokensCheck,
} satisfies Record<string, Check>;

export type CheckName = keyof typeof CHECKS;
