import { rmSync } from 'node:fs';
import { describeWith } from '../support/program.js';
import { change, isCalled } from './change.js';
import { COMBINATIONS } from './combinations.js';
import type { Manifest } from './objects.js';
import { render } from './render.js';
import { buildScore, type Finding, score } from './score.js';

/** Findings of kube-score that are ignored, for all objects or for one. */
const NOISE: [test: string, object: string, why: string][] = [
  ['container-image-pull-policy', '', 'a version is never pushed twice, and a restart is not to need the registry'],
  ['container-security-context-user-group-id', '', 'these are the users that the images have'],
  ['deployment-has-host-podantiaffinity', '', 'pods are spread by topologySpreadConstraints'],
  ['deployment-replicas', '', 'an autoscaler has them, which kube-score does not know where it is one of KEDA'],
  ['statefulset-has-host-podantiaffinity', '', 'it has one pod'],
  ['statefulset-has-poddisruptionbudget', '', 'it has one pod, which a budget would tie to its node'],
  ['networkpolicy-targets-pod', '', 'operators make pods that kube-score does not see'],
  ['pod-probes-identical', 'StatefulSet/redis', 'one that does not answer is of no use, and after a while restarted'],
  ['pod-probes', 'StatefulSet/postgres', 'one that recovers is not to be restarted'],
  ['pod-networkpolicy', 'DaemonSet/fluent-bit', 'it takes no connections'],
  ['pod-networkpolicy', 'CronJob/log-retention', 'it takes no connections'],
];

const isNoise = ({ test, object }: Finding) => NOISE.some(([noisy, of]) => noisy === test && (!of || of === object));

const lineOf = ({ test, object }: Finding) => `${object}: ${test}`;

describeWith('kubectl', 'The findings of kube-score in Kubernetes manifests', () => {
  describeWith('go', 'except the ignored ones', (go) => {
    let folder: string;
    let found: Finding[];
    beforeAll(async () => {
      folder = buildScore(go);
      found = [];
      for (const combination of COMBINATIONS) found.push(...(await score(folder, await render(...combination))));
    }, 600_000);
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it('are none', () => {
      const said = found.filter((finding) => !isNoise(finding)).map(lineOf);
      expect([...new Set(said)]).toEqual([]);
    });

    it('ignore only findings that occur', () => {
      const stale = NOISE.filter(([test, of]) => !found.some((one) => one.test === test && (!of || of === one.object)));
      expect(stale).toEqual([]);
    });

    it.each([
      ['/spec/template/spec/containers/0/readinessProbe', 'Deployment/floodgate: pod-probes'],
      ['/spec/template/spec/containers/0/resources/limits/memory', 'Deployment/floodgate: container-resources'],
      [
        '/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem',
        'Deployment/floodgate: container-security-context-readonlyrootfilesystem',
      ],
      ['/spec/template/metadata/labels/app.kubernetes.io~1name', 'Service/floodgate: service-targets-pod'],
    ])('are some without %s', async (path, said) => {
      const objects: Manifest[] = await render('overlays/production');
      expect((await score(folder, objects)).map(lineOf)).not.toContain(said);
      change(
        objects.find((object) => isCalled(object, 'Deployment/floodgate')),
        path,
        undefined,
      );
      expect((await score(folder, objects)).map(lineOf)).toContain(said);
    });
  });
});
