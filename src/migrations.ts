import { type Migration, shipped } from './platform/database/migrations/index.js';

/** Every migration, oldest first. A released one is never changed: add another. Your own modules' go below the shipped ones. */
export const migrations: Migration[] = [...shipped];
