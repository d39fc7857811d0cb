import { createParamDecorator, type ExecutionContext, Get, Param, ParseIntPipe, Query, Req } from '@nestjs/common';
import { z } from 'zod';
import { EdgeArguments } from './edge-arguments.js';
import { EdgeContext, type EdgeRequest } from './edge-context.js';

const Who = createParamDecorator(
  (_: unknown, context: ExecutionContext) => context.switchToHttp().getRequest<EdgeRequest>().caller,
);
const page = z.strictObject({ limit: z.coerce.number().max(100).prefault(20) });

class Orders {
  @Get(':id')
  get(@Who() _who: unknown, @Param('id', { schema: z.uuid() }) id: string, @Param() _all: object) {
    return id;
  }

  @Get()
  list(@Query({ schema: page }) { limit }: { limit: number }, @Query('by') _by?: string) {
    return limit;
  }

  @Get('whole')
  whole(@Req() request: object) {
    return request;
  }

  @Get('piped/:n')
  piped(@Param('n', ParseIntPipe) n: number) {
    return n;
  }
}

const ID = '01890000-0000-7000-8000-000000000000';
const caller = { id: ID, role: 'user', sessionId: ID } as const;

function read(name: keyof Orders, params: Record<string, string>, text = ''): unknown {
  const given = new EdgeArguments(Orders, name);
  const query = given.query(text);
  if (!query) return 'for the pipeline';
  const request: EdgeRequest = { method: 'GET', url: '/', params, query: query.parameters, caller };
  return given.of(request, query, new EdgeContext(request, () => undefined, Orders)) ?? 'not valid';
}

it('reads and validates the declared parameters', () => {
  expect(read('get', { id: ID })).toEqual([caller, ID, { id: ID }]);
  expect(read('get', { id: 'x' })).toBe('not valid');
  expect(read('list', {})).toEqual([{ limit: 20 }, undefined]);
  expect(read('list', {}, 'limit=7')).toEqual([{ limit: 7 }, undefined]);
  // The pipeline answers invalid and unknown parameters.
  expect(read('list', {}, 'limit=101')).toBe('for the pipeline');
  expect(read('list', {}, 'other=1')).toBe('for the pipeline');
  expect(read('get', { id: ID }, 'other=1')).toBe('for the pipeline');
});

it.each([
  ['whole', 1],
  ['piped', 1],
] as const)('names the parameter of %s that it cannot read', (name, place) => {
  expect(() => new EdgeArguments(Orders, name)).toThrow(
    `Orders.${name} cannot be answered at the edge: its parameter ${place} `,
  );
});
