import { ADMIN } from '../support/app.js';
import { Client } from '../support/client.js';
import { type MadeCollection, must, until } from '../support/collections.js';
import type { Ledger, OwnSets } from '../support/ledger.js';
import { accept, answerWith, Receiver } from '../support/receiver.js';
import { Told } from '../support/told.js';
import { brokenTo } from './followers.js';
import type { House } from './house.js';

/** The faults of receivers, one after the other. */
const FAULTS: Receiver['behaviour'][] = [() => {}, (response) => response.socket?.resetAndDestroy(), answerWith(500)];
const FAULT_EVERY_MS = 8000;
/** A job of a killed worker is taken again within 25 s, and what then waits for the next attempt of a webhook within some more. */
const DELIVERED_S = 75;

interface Hook {
  set: MadeCollection;
  isOrdered: boolean;
  receiver: Receiver;
}

/** Webhooks of public collections of the ledger, one in order and one not, to receivers that fail now and then. */
export class Hooks {
  private failures = 0;

  private constructor(private readonly hooks: Hook[]) {}

  static async open(owned: OwnSets[]): Promise<Hooks> {
    const open = async ({ client, sets }: OwnSets, isOrdered: boolean): Promise<Hook> => {
      const receiver = await Receiver.start();
      const asked = { url: receiver.url, ordered: isOrdered };
      receiver.secret = must(201, await client.post(`${sets.public.path}/webhooks`, asked)).body.secret;
      return { set: sets.public, isOrdered, receiver };
    };
    const [first, second] = owned as [OwnSets, OwnSets];
    const hooks = new Hooks(await Promise.all([open(first, true), open(second, false)]));
    for (const { receiver } of hooks.hooks) hooks.disturb(receiver);
    return hooks;
  }

  get figures() {
    const sum = (of: (receiver: Receiver) => number) => this.hooks.reduce((all, { receiver }) => all + of(receiver), 0);
    return {
      'events sent to webhooks': sum(({ received }) => received.length),
      'of them accepted': sum(({ accepted }) => accepted.length),
      'failures of receivers': this.failures,
    };
  }

  /** Waits until all is delivered, after the last write. @returns the broken promises */
  async settle(house: House, ledger: Ledger): Promise<string[]> {
    for (const { receiver } of this.hooks) receiver.behaviour = accept;
    const admin = await new Client(house.here.url).signIn(ADMIN.email, ADMIN.password);
    const found = await Promise.all(
      this.hooks.map(async ({ set, isOrdered, receiver }) => {
        const last = await ledger.versionsOf(set, house);
        const isDone = async () => toldTo(receiver).differences(last).length === 0;
        await until(isDone, DELIVERED_S).catch(() => {});
        const told = toldTo(receiver);
        const wrong = brokenTo(`the webhook of ${set.name}`, told, told.differences(last), isOrdered);
        if (wrong.length > 0)
          wrong.push(
            `it is ${JSON.stringify(await house.query('SELECT state, position, waiting, failures, retry_at, last_error FROM webhooks WHERE ordered = $1', [isOrdered]))}`,
          );
        if (receiver.forged > 0) wrong.push(`${receiver.forged} events of ${set.name} were not signed`);
        return wrong;
      }),
    );
    const dead = must(200, await admin.get('/api/v1/admin/jobs/dead'));
    await Promise.all(this.hooks.map(({ receiver }) => receiver.close()));
    return [...found.flat(), ...(dead.body.items.length > 0 ? [`jobs are dead: ${dead.text}`] : [])];
  }

  private disturb(receiver: Receiver): void {
    let due = Date.now() + FAULT_EVERY_MS * Math.random();
    let failed: string | undefined;
    receiver.behaviour = (response, event) => {
      const isAgain = event.id === failed;
      if (!isAgain && Date.now() < due) return accept(response, event);
      // Once more when it is tried again, since a second failure takes other ways than a first one.
      failed = isAgain ? undefined : event.id;
      due = Date.now() + FAULT_EVERY_MS;
      return FAULTS[this.failures++ % FAULTS.length]?.(response, event);
    };
  }
}

function toldTo({ accepted }: Receiver): Told {
  const told = new Told();
  for (const { type, data } of accepted) told.take(type.slice('record.'.length), data);
  return told;
}
