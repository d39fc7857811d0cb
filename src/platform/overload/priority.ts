import { SetMetadata } from '@nestjs/common';
import type { Priority as Rank } from './admission.js';

export const PRIORITY = Symbol('PRIORITY');

/**
 * Says who comes first, or last, when there is more to do than can be done; otherwise writes come before reads. What takes as
 * long as a hash or as its caller has places of its own: 'login', 'bulk'.
 */
export const Priority = (rank: Rank) => SetMetadata(PRIORITY, rank);
