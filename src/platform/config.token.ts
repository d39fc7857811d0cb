/** The injection token of the settings (a Config). */
export const CONFIG = Symbol('CONFIG');
