/** The settings: what they are, and the token by which Nest gives them. */
export type { Config } from '../config.js';
export const CONFIG = Symbol('CONFIG');
