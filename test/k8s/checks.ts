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
import {
  budgetCheck,
  graceCheck,
  hangingCheck,
  probesCheck,
  scalersCheck,
  strategyCheck,
  workersCheck,
} from './rollout.js';
import { portsCheck, selectorsCheck } from './selectors.js';
import { firstAdminCheck, secretsCheck, settingsCheck } from './settings.js';
import { watchedCheck } from './watched.js';

/** All checks of a rendered overlay, by the property that they check. */
export const CHECKS = {
  'selects the intended pods': selectorsCheck,
  'agrees on ports': portsCheck,
  'references only existing objects': referencesCheck,
  'connects to existing servers': hostsCheck,
  'attaches its routes to existing listeners': listenersCheck,
  'names the namespace of each object': namespacesCheck,
  'mounts its volumes': volumesCheck,
  'starts with the settings of the manifests': settingsCheck,
  'holds no secret': secretsCheck,
  'allows the first password to be removed': firstAdminCheck,
  'serves with a role that cannot change the schema': rolesCheck,
  'probes three routes that the app has': probesCheck,
  'restarts containers that hang': hangingCheck,
  'gives a pod enough time to stop': graceCheck,
  'works jobs in one place': workersCheck,
  'removes no pod before a new one is ready': strategyCheck,
  'has one autoscaler, and no fixed number of replicas': scalersCheck,
  'has connections for all its pods': connectionsCheck,
  'scales by metrics that are served': metricNamesCheck,
  'has alerts for everything that callers depend on': watchedCheck,
  'ships its log without filling a node': shippingCheck,
  'keeps its log for a limited time': retentionCheck,
  'spreads over zones, and stops one pod at a time': spreadCheck,
  'allows nodes to be drained, one pod at a time': budgetCheck,
  'allows exactly the intended connections': networkCheck,
  'exposes exactly the public routes': entryCheck,
  'trusts only the address that its proxy adds': trustCheck,
  'accepts bodies as large as the app does': bodiesCheck,
  'names the version of every image': imagesCheck,
  'requests the memory that it may use': memoryCheck,
  'gives containers no unneeded rights': containersCheck,
  'keeps the restrictions of its namespace': restrictedCheck,
  'has priority over less important workloads': priorityCheck,
  'gives no pod a token of the cluster': tokensCheck,
} satisfies Record<string, Check>;

export type CheckName = keyof typeof CHECKS;
