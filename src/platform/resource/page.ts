import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { Answer } from '../http/answer.js';
import { nextLink } from '../http/next-link.js';

/** The largest size of a page's items together. A page has one item at least, even if that is larger. */
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
      description: 'How many items to return; more than 100 counts as 100. A page of large items ends at 1 MiB.',
      type: 'integer',
      minimum: 1,
      default: 20,
    }),
  cursor: z.string().max(1024).optional().meta({
    description: 'Where to continue: `nextCursor` of the previous page.',
    pattern: '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]{22}$',
  }),
};

/** The schema of a page; `id` is its name in the OpenAPI document. */
export const pageOf = <Item extends z.ZodType>(id: string, item: Item) =>
  z
    .object({
      items: z.array(item),
      nextCursor: z
        .string()
        .meta({ examples: ['WyJ0cmlwcyJd.1pgk6MxKDYn7IWRqQqDs8Y'] })
        .nullable(),
    })
    .meta({ id });

/** A page of items as JSON text. One text may hold several items, separated by commas. */
export interface Page {
  items: string[];
  nextCursor: string | null;
}

/** The request's URL, from which the link to the next page is made. */
export const RequestUrl = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<FastifyRequest>().url,
);

/** Answers a page, with a Link to the next one (RFC 8288). */
export function pageAnswer(url: string, page: Page, headers: Record<string, string>): Answer {
  const body = `{"items":[${page.items.join(',')}],"nextCursor":${JSON.stringify(page.nextCursor)}}`;
  if (page.nextCursor === null) return new Answer(body, { headers });
  return new Answer(body, { headers: { ...headers, link: nextLink(url, 'cursor', page.nextCursor) } });
}
