import { readdirSync } from 'node:fs';
import { describeWith } from '../support/program.js';
import { CHECKS, type CheckName } from './checks.js';
import { COMBINATIONS } from './combinations.js';
import type { Manifest } from './objects.js';
import { render } from './render.js';

/** Checks that need a PostgreSQL and a Redis, which the base does not have. */
const NOT_ALONE: CheckName[] = ['connects to existing servers'];

describeWith('kubectl', 'Kubernetes manifests', () => {
  it('are rendered for every overlay', () => {
    const overlays = COMBINATIONS.filter(([, component]) => !component).map(([name]) => name);
    expect(overlays).toEqual(expect.arrayContaining(readdirSync('k8s/overlays').map((name) => `overlays/${name}`)));
  });

  describe.each(COMBINATIONS.map((combination) => [combination.join(' + '), combination] as const))(
    '%s',
    (_, combination) => {
      let objects: Manifest[];
      beforeAll(async () => {
        objects = await render(...combination);
      });

      const isWhole = (check: string) => combination[0] !== 'base' || !NOT_ALONE.includes(check as CheckName);
      it.each(Object.entries(CHECKS).filter(([check]) => isWhole(check)))('%s', async (_, check) => {
        expect(await check(objects)).toEqual([]);
      });
    },
  );
});
