import type { Socket } from 'node:net';
import { createParamDecorator, type ExecutionContext, Injectable, type PipeTransform } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Problem } from './problem.js';

/** How often guards are asked again: it is cheap, and news from another process takes 1 s to arrive. */
const LOOK_MS = 1500;

/** Asks a guard again about a request that it let in. @throws Problem when the guard would refuse it now */
type Recheck = (context: ExecutionContext) => Promise<void>;

/** Watches long requests: meanwhile their callers may lose access, or what they read may be deleted. */
@Injectable()
export class LastingRequests {
  /** In the order of the guards. Each guard adds its own. */
  readonly rechecks: Recheck[] = [];

  /** @returns a signal that is aborted, with the problem, once a guard would refuse the request */
  watch(context: ExecutionContext): AbortSignal {
    const allowed = new AbortController();
    const { raw } = context.switchToHttp().getResponse<FastifyReply>();
    const look = async () => {
      // A caller who left before the watch began causes no event, and Node may have set the socket to null.
      const socket = raw.req.socket as Socket | null;
      if (raw.closed || !socket || socket.destroyed) return clearInterval(timer);
      try {
        for (const recheck of this.rechecks) await recheck(context);
      } catch (error) {
        // When the check itself fails, the last result stands.
        if (error instanceof Problem && error.status < 500) allowed.abort(error);
      }
    };
    const timer = setInterval(look, LOOK_MS).unref();
    raw.once('close', () => clearInterval(timer));
    return allowed.signal;
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
