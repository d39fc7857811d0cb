import type { z } from 'zod';
import type { platformSettings } from './settings.js';

/** The settings that the platform reads, and the token by which Nest gives all of them: a module says what its own are. */
export type Config = z.infer<z.ZodObject<typeof platformSettings>>;
export const CONFIG = Symbol('CONFIG');
