import type { Socket } from 'node:net';
import { createParamDecorator, type ExecutionContext, Injectable, type PipeTransform } from '@nestjs/common';
import type { FastifyReply } from 'fastify';
import { Problem } from './problem.js';

/** So often it is asked: what is asked costs next to nothing, and a word from another process takes 1 s. */
const LOOK_MS = 1500;

/** Asks a guard again of a request that it let in. @throws Problem what it would be refused with now */
type Recheck = (context: ExecutionContext) => Promise<void>;

/** Requests that last: their callers may be signed out or disabled meanwhile, and what they use may go or be closed to them. */
@Injectable()
export class LastingRequests {
  /** In the order of the guards, each of which adds its own. */
  readonly rechecks: Recheck[] = [];

  /** @returns a signal, aborted with the problem that the request would be refused with from then on */
  watch(context: ExecutionContext): AbortSignal {
    const allowed = new AbortController();
    const { raw } = context.switchToHttp().getResponse<FastifyReply>();
    const look = async () => {
      // Where its caller had gone before it was watched, nothing has told. Node may have let go of the connection, too.
      const socket = raw.req.socket as Socket | null;
      if (raw.closed || !socket || socket.destroyed) return clearInterval(timer);
      try {
        for (const recheck of this.rechecks) await recheck(context);
      } catch (error) {
        // As long as it cannot be found out, what is known goes on.
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

/** For a handler that takes long: a signal that is aborted, with the problem, when the request would be refused by now. */
export const WhileAllowed = () => Context(WatchPipe);
