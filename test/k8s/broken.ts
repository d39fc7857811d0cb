import type { CheckName } from './checks.js';

/** What to break: the object (without the hash of its name), the field, its new value (undefined takes it away, a function makes it of the old one), and what is said. */
export type Break = [object: string, path: string, value: unknown, says: string];

/** How an overlay may be wrong, by the check that says so. */
export type Breaks = Partial<Record<CheckName, Break[]>>;

export const POD = '/spec/template/spec';
export const MIGRATE = `${POD}/initContainers/0`;
export const APP = `${POD}/containers/0`;
