import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Answer } from '../http/answer.js';
import { splitUrl } from '../http/split-url.js';

/** Bytes of the items of a page together: the one that would pass them, unless it is the first, begins the next page. */
export const PAGE_BYTES = 1_048_576;

/** The parameters that every list has. */
export const pageParameters = {
  limit: z
    .string()
    .regex(/^\d+$/, 'must be a whole number from 1')
    .transform((text) => Math.min(Number(text), 100))
    .pipe(z.number().min(1, 'must be a whole number from 1'))
    .prefault('20')
    .meta({
      description: 'How many items at most; more than 100 counts as 100. Of large ones fewer come: 1 MiB together.',
      type: 'integer',
      minimum: 1,
      default: 20,
    }),
  cursor: z.string().max(1024).optional().meta({
    description: 'Where to go on: `nextCursor` of the page before.',
    pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]{22}$',
  }),
};

/** The schema of a page, by the name that it has in the document. */
export const pageOf = <Item extends z.ZodType>(id: string, item: Item) =>
  z.object({ items: z.array(item), nextCursor: z.string().nullable() }).meta({ id });

/** A page of things whose JSON is text already: of one each, or of several, with commas. */
export interface Page {
  items: string[];
  nextCursor: string | null;
}

/** The request's target, of which the next page's is made. */
export const RequestUrl = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<FastifyRequest>().url,
);

/** Answers a page, with a Link to the next one (RFC 8288). */
export function pageAnswer(url: string, page: Page, headers: Record<string, string>): Answer {
  const body = `{"items":[${page.items.join(',')}],"nextCursor":${JSON.stringify(page.nextCursor)}}`;
  if (page.nextCursor === null) return new Answer(body, { headers });
  const [path, query] = splitUrl(url);
  const parameters = new URLSearchParams(query);
  parameters.set('cursor', page.nextCursor);
  return new Answer(body, { headers: { ...headers, link: `<${path}?${parameters}>; rel="next"` } });
}
