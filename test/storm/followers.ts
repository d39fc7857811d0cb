import { type MadeCollection, until } from '../support/collections.js';
import { Follower } from '../support/follower.js';
import type { Ledger, OwnSets } from '../support/ledger.js';
import type { Told } from '../support/told.js';
import type { House } from './house.js';

/** Of each public collection. */
const FOLLOWERS = 11;
/** All of them have come back, and caught up, within this time. */
const CAUGHT_UP_S = 30;
/** Of what is wrong, so much is told. */
const SHOWN = 5;

/**
 * Followers of the ledger's collections, at both replicas in turn: anybody of the public ones, by streams and by lines, and their
 * owners of the private ones. Each is told of every committed change; a stranger to a private one of none.
 */
export class Followers {
  private constructor(
    private readonly followed: { set: MadeCollection; follower: Follower }[],
    private readonly strangers: Follower[],
  ) {}

  /** @param owned to which nothing was written yet */
  static async open(owned: OwnSets[], house: House): Promise<Followers> {
    const replicas = house.replicas.map(({ anyone }) => anyone);
    const pathOf = ({ path }: MadeCollection) => `${path}/changes`;
    const followed = owned.flatMap(({ client, sets }) => [
      ...Array.from({ length: FOLLOWERS }, (_, n) => ({
        set: sets.public,
        follower: new Follower(n % 2 ? replicas : replicas.toReversed(), pathOf(sets.public), n % 5 === 0),
      })),
      { set: sets.private, follower: new Follower([client, house.elsewhere(client)], pathOf(sets.private)) },
    ]);
    const strangers = owned.slice(1).map(({ client }) => {
      const [{ sets }] = owned as [OwnSets];
      return new Follower([client, house.elsewhere(client)], pathOf(sets.private));
    });
    await until(async () => followed.every(({ follower }) => follower.hasBegun));
    return new Followers(followed, strangers);
  }

  get figures() {
    const sum = (of: (follower: Follower) => number) =>
      this.followed.reduce((total, { follower }) => total + of(follower), 0);
    return {
      followers: this.followed.length,
      'changes followed': sum(({ changes }) => changes),
      'streams and polls': sum(({ streams }) => streams),
      'came again': sum(({ repeated }) => repeated),
    };
  }

  /** Waits until all have been told of all, after the last write, and ends them. @returns the broken promises */
  async settle(house: House, ledger: Ledger): Promise<string[]> {
    const last = new Map<MadeCollection, Map<string, number>>();
    for (const { set } of this.followed) if (!last.has(set)) last.set(set, await ledger.versionsOf(set, house));
    const differences = ({ set, follower }: { set: MadeCollection; follower: Told }) =>
      follower.differences(last.get(set) as Map<string, number>);
    await until(async () => this.followed.every((one) => differences(one).length === 0), CAUGHT_UP_S).catch(() => {});
    await Promise.all([...this.followed.map(({ follower }) => follower), ...this.strangers].map((one) => one.stop()));
    return [
      ...this.followed.flatMap((one, n) =>
        brokenTo(`follower ${n} of ${one.set.name}`, one.follower, differences(one)),
      ),
      ...this.strangers.flatMap(({ seen }) => (seen.size > 0 ? [`a stranger was told of ${[...seen.keys()]}`] : [])),
    ];
  }
}

/** The promises about changes that were broken to somebody. @param isOrdered whether an order was promised */
export function brokenTo(who: string, told: Told, differences: string[], isOrdered = true): string[] {
  // Nothing in a storm justifies a reset.
  const resets = told.resets > 0 ? [`${told.resets} resets`] : [];
  const wrong = [...resets, ...differences, ...(isOrdered ? told.disorder.map((one) => `order of ${one}`) : [])];
  const rest = wrong.length > SHOWN ? [`${wrong.length - SHOWN} more`] : [];
  return [...wrong.slice(0, SHOWN), ...rest].map((one) => `${who}: ${one}`);
}
