import type { CheckName } from './checks.js';

/** A breaking change: the object (without the hash of its name), the field, its new value (undefined removes it, a function gets the old one), and the expected message. */
export type Break = [object: string, path: string, value: unknown, says: string];

/** Breaking changes, by the check that must find them. */
export type Breaks = Partial<Record<CheckName, Break[]>>;

export const POD = '/spec/template/spec';
export const MIGRATE = `${POD}/initContainers/0`;
export const APP = `${POD}/containers/0`;
