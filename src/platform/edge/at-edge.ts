import { SetMetadata } from '@nestjs/common';

export const AT_EDGE = Symbol('AT_EDGE');

/**
 * Has a read answered before the pipeline, by the same guards, parameters and handler; one with @CacheKey is without it. Its
 * handler gives an Answer, and takes neither the request nor headers.
 */
export const AtEdge = () => SetMetadata(AT_EDGE, true);
