import { Client } from '../support/client.js';
import { Ledger, type OwnSets } from '../support/ledger.js';
import type { Load } from '../support/load.js';
import { Followers } from './followers.js';
import { Hooks } from './hooks.js';
import type { House } from './house.js';
import { Sessions } from './sessions.js';
import { Sets } from './sets.js';
import { Uploads } from './uploads.js';

/** Acknowledged writes must be seen at the other replica within 1 s; a slow machine may take this long. */
const BOUND_MS = 2000;
const THINK_MS = 15;

/** All kinds of load, each with its own users, half of them at either replica, and those who are told of what they change. */
export class Loads {
  private constructor(
    readonly ledger: Ledger,
    readonly uploads: Uploads,
    readonly sessions: Sessions,
    readonly sets: Sets,
    private readonly listening: (Followers | Hooks)[],
  ) {}

  /** @param refreshMs the interval of refreshes: the app remembers each, up to a bound that is not reached in minutes */
  static async open(house: House, refreshMs = 200): Promise<Loads> {
    const { here, there, elsewhere } = house;
    const [a, b, c, d, e, f, g, h, i, j] = await house.users(10);
    const user = (name: string) => ({ email: `${name}@example.com`, password: `${name}-password` });
    const signedIn = ['session1', 'session2'].map(user);
    for (const one of signedIn) await new Client(here.url).post('/api/v1/auth/register', { ...one, name: 'S' });
    const listening: (Followers | Hooks)[] = [];
    const beforehand = async (owned: OwnSets[]) => {
      listening.push(await Followers.open(owned, house), await Hooks.open(owned));
    };
    const options = { elsewhere, thinkMs: THINK_MS, boundMs: BOUND_MS, beforehand };
    return new Loads(
      await Ledger.open([a, b, c, d] as Client[], options),
      new Uploads([e, f] as Client[], elsewhere, BOUND_MS),
      new Sessions(signedIn, [new Client(here.url), new Client(there.url)], refreshMs),
      new Sets(
        [
          [g, h],
          [j, i],
        ] as [Client, Client][],
        elsewhere,
        BOUND_MS,
      ),
      listening,
    );
  }

  get all(): Load[] {
    return [this.ledger, this.uploads, this.sessions, this.sets];
  }

  get figures() {
    return {
      'records acknowledged': this.ledger.acknowledged,
      'uploads acknowledged': this.uploads.acknowledged,
      'collections removed': this.uploads.removed,
      'collections changed': this.sets.changes,
      'rights to listen ended': this.sets.unheard,
      'sessions ended': this.sessions.ended,
      ...Object.assign({}, ...this.listening.map(({ figures }) => figures)),
    };
  }

  /** Ends all loads. @returns the broken promises */
  async settle(house: House): Promise<string[]> {
    await Promise.all(this.all.map((load) => load.stop()));
    await this.ledger.settle(house);
    await this.uploads.settle(house.query.bind(house));
    const told = await Promise.all(this.listening.map((one) => one.settle(house, this.ledger)));
    return [...this.all.flatMap(({ violations }) => violations), ...told.flat()];
  }
}
