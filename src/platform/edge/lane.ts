import type { Entry } from '../cache/entry.js';
import type { Answer } from '../http/answer.js';
import type { Caller } from '../http/caller.js';

/** An answer, kept or made for this one request. */
export type Read = Entry<Answer> | Answer;

/** A read that the edge may load by itself. */
export interface Lane {
  /** What its paths look like, with the groups that `load` needs. */
  path: RegExp;
  /** The route's template, for metrics. */
  route: string;
  /** All who ask for the same at the same time wait for one load. */
  isShared: boolean;
  /**
   * The answer for this caller, or undefined when there is anything to be decided: what is not there, not for the caller,
   * not valid. A failure, too, is the pipeline's to answer, and to try again where it came at once.
   */
  load(path: RegExpExecArray, query: string, caller: Caller | undefined): Read | undefined | Promise<Read | undefined>;
}
