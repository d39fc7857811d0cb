import type { Entry } from '../cache/entry.js';
import type { Answer } from '../http/answer.js';
import type { Caller } from '../http/caller.js';

/** An answer, cached or made for this one request. */
export type Read = Entry<Answer> | Answer;

/** A route that the edge can answer by itself. */
export interface EdgeRoute {
  /** Matches its paths; the groups are its parameters. */
  path: RegExp;
  /** Its path template, for metrics. */
  template: string;
  /** Whether it can be called without a token. */
  isForAnyone: boolean;
  /** Whether concurrent requests for one target wait for the same load. */
  isShared: boolean;
  /**
   * The answer for this caller, or undefined when the pipeline has to answer: not found, not allowed or not valid. The
   * pipeline answers failures too, and tries a read again that failed at once.
   * @param kept the cache entry for this URL, which only has to be allowed
   */
  load(
    path: RegExpExecArray,
    query: string,
    caller: Caller | undefined,
    kept: Entry<Answer> | undefined,
  ): Read | undefined | Promise<Read | undefined>;
}

/** Finds callers, and what they may do. */
export interface Callers {
  /** The caller of an Authorization header, if it is known at once. */
  known(authorization: string): Caller | undefined;
  ruleOf(handler: object): Rule;
}
/** Whether a caller may use a route with these path parameters. */
export type Rule = (caller: Caller | undefined, params: Record<string, string>) => boolean;
