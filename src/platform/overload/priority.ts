import { SetMetadata } from '@nestjs/common';
import type { Priority as Rank } from './admission.js';

export const PRIORITY = Symbol('PRIORITY');

/**
 * Sets a route's priority in overload. By default writes come before reads. 'login' and 'bulk' have limits of their
 * own, since their time depends on a hash or on the caller.
 */
export const Priority = (rank: Rank) => SetMetadata(PRIORITY, rank);
