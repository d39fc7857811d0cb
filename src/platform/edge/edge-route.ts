import type { Entry } from '../cache/entry.js';
import type { Answer } from '../http/answer.js';
import type { Caller } from '../http/caller.js';

/** An answer, kept or made for this one request. */
export type Read = Entry<Answer> | Answer;

/** A route that the edge can answer by itself. */
export interface EdgeRoute {
  /** What its paths look like; the groups are its parameters. */
  path: RegExp;
  /** Its template, for metrics. */
  template: string;
  /** It needs no token: what is public is answered to anybody. */
  isForAnyone: boolean;
  /** All who ask for the same at the same time wait for one load. */
  isShared: boolean;
  /**
   * The answer for this caller, or undefined when there is anything to be decided: what is not there, not for the caller,
   * not valid. A failure, too, is the pipeline's to answer, and to try again where it came at once.
   * @param kept what is kept under the very address, and needs only to be allowed
   */
  load(
    path: RegExpExecArray,
    query: string,
    caller: Caller | undefined,
    kept: Entry<Answer> | undefined,
  ): Read | undefined | Promise<Read | undefined>;
}

/** Who calls, and what they may. */
export interface Callers {
  /** Who it is by the Authorization header, if that is known at once. */
  known(authorization: string): Caller | undefined;
  ruleOf(handler: object): Rule;
}
/** Whether a route is for this caller, with these parameters of its path. */
export type Rule = (caller: Caller | undefined, params: Record<string, string>) => boolean;
