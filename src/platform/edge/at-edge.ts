import { SetMetadata } from '@nestjs/common';

export const AT_EDGE = Symbol('AT_EDGE');

/**
 * Lets the edge answer a read before the pipeline, with the same guards, parameters and handler. The handler returns an
 * Answer, and takes neither the request nor headers. A route with @CacheKey does not need it.
 */
export const AtEdge = () => SetMetadata(AT_EDGE, true);
