import decoder from '@redis/client/dist/lib/client/RESP2/decoder.js';

/**
 * When a connection ends in the middle of a reply, redis 4 forgets but a part of what it has read of it, and takes what comes on
 * the next connection for the rest: callers get one another's replies, or pieces of some. Here its reader begins anew.
 */
decoder.default.prototype.reset = function reset(this: { options: never }) {
  Object.assign(this, new decoder.default(this.options));
} as () => void;
