import type { z } from 'zod';
import type { platformSettings } from './settings.js';

/** The platform's settings. The token CONFIG injects those of all modules; each module has a type for its own. */
export type Config = z.infer<z.ZodObject<typeof platformSettings>>;
export const CONFIG = Symbol('CONFIG');
