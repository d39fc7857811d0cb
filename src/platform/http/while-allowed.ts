import type { Socket } from 'node:net';
import {
  createParamDecorator,
  type ExecutionContext,
  Injectable,
  type OnApplicationShutdown,
  type PipeTransform,
} from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { showInUse } from '../metrics/in-use.js';
import { Problem, unavailable } from './problem.js';

/** How often guards are asked again: it is cheap, and news from another process takes 1 s to arrive. */
const LOOK_MS = 1500;
/** Of many thousands of requests, only a part is looked at in a turn. */
const TURNS = 15;
/** A caller may have lost access unseen so long after a check, which may have gone by news 1 s old: 5 s are promised. */
const SURE_MS = 3000;

/** When the last check that let a request in had begun, by the request's signal. */
const letIn = new WeakMap<AbortSignal, number>();

/** Whether the caller may be told what happens now: not while checks fail, as on a replica that is cut off. */
export const isSure = (allowed: AbortSignal): boolean => performance.now() < (letIn.get(allowed) ?? 0) + SURE_MS;

/** Asks a guard again about a request that it let in. @throws Problem when the guard would refuse it now */
type Recheck = (context: ExecutionContext) => Promise<void>;

interface Watched {
  context: ExecutionContext;
  allowed: AbortController;
  /** In which of the turns it is looked at. */
  turn: number;
}

/** Watches long requests: meanwhile their callers may lose access, or what they read may be deleted. */
@Injectable()
export class LastingRequests implements OnApplicationShutdown {
  /** In the order of the guards. Each guard adds its own. */
  readonly rechecks: Recheck[] = [];
  private readonly watched = new Set<Watched>();
  private readonly timer = setInterval(() => this.look(), LOOK_MS / TURNS).unref();
  private turn = 0;
  private lookedAt = performance.now();

  constructor() {
    showInUse('watched_requests', () => this.watched.size);
  }

  /** @returns a signal that is aborted, with the problem, once a guard would refuse the request */
  watch(context: ExecutionContext): AbortSignal {
    const allowed = new AbortController();
    letIn.set(allowed.signal, performance.now());
    this.watched.add({ context, allowed, turn: this.turn });
    return allowed.signal;
  }

  /**
   * Asks the guards now, if that was long ago.
   * @throws the problem once a guard would refuse the request, temporary-reduced-capacity while the check itself fails
   */
  async confirm(allowed: AbortSignal): Promise<void> {
    const one = isSure(allowed) ? undefined : [...this.watched].find((each) => each.allowed.signal === allowed);
    if (one) await this.recheck(one);
    allowed.throwIfAborted();
    if (!isSure(allowed)) throw unavailable('Your right to read cannot be checked now.', 1);
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  private look(): void {
    // A busy event loop leaves out calls.
    const missed = Math.round((performance.now() - this.lookedAt) / (LOOK_MS / TURNS));
    this.lookedAt = performance.now();
    for (let left = Math.min(Math.max(missed, 1), TURNS); left > 0; left--) {
      this.turn = (this.turn + 1) % TURNS;
      for (const one of this.watched) if (one.turn === this.turn) void this.recheck(one);
    }
  }

  private async recheck(one: Watched): Promise<void> {
    const { raw } = one.context.getArgByIndex<FastifyReply>(1);
    // A caller who left before the watch began causes no event, and Node may have set the socket to null.
    const socket = raw.req.socket as Socket | null;
    if (raw.closed || !socket || socket.destroyed || one.allowed.signal.aborted) return void this.watched.delete(one);
    const begun = performance.now();
    try {
      for (const recheck of this.rechecks) await recheck(one.context);
      letIn.set(one.allowed.signal, Math.max(begun, letIn.get(one.allowed.signal) ?? 0));
    } catch (error) {
      // When the check itself fails, the last result stands.
      if (error instanceof Problem && error.status < 500) one.allowed.abort(error);
    }
  }
}

@Injectable()
class WatchPipe implements PipeTransform<ExecutionContext, AbortSignal> {
  constructor(private readonly lasting: LastingRequests) {}

  transform(context: ExecutionContext): AbortSignal {
    return this.lasting.watch(context);
  }
}

const Context = createParamDecorator((_: unknown, context: ExecutionContext) => context);

/** For a handler that takes long: a signal that is aborted, with the problem, once a guard would refuse the request. */
export const WhileAllowed = () => Context(WatchPipe);
