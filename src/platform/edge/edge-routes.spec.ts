import { CacheKey } from '@nestjs/cache-manager';
import {
  Controller,
  Get,
  Injectable,
  Module,
  ParseIntPipe,
  Post,
  Scope,
  type Type,
  UseInterceptors,
  UsePipes,
} from '@nestjs/common';
import { DiscoveryModule, NestFactory } from '@nestjs/core';
import type { Cache } from '../cache/cache.js';
import { Answer } from '../http/answer.js';
import { DeclaredRoutes } from '../http/declared-routes.js';
import { AtEdge } from './at-edge.js';
import type { Edge } from './edge.js';
import type { EdgeRoute } from './edge-route.js';
import { EdgeRoutes } from './edge-routes.js';
import { Priorities } from './priorities.js';

@Injectable()
class Nothing {
  intercept(_: unknown, next: { handle(): unknown }) {
    return next.handle();
  }
}

@Controller(['orders', 'shop/orders'])
class Orders {
  @Get([':id', ':id/whole'])
  @AtEdge()
  get() {
    return new Answer({});
  }

  @Get()
  @AtEdge()
  list() {
    return { items: [] };
  }

  @Post()
  create() {}
}

@Controller({ path: 'scoped', scope: Scope.REQUEST })
class Scoped {
  @Get()
  @AtEdge()
  get() {
    return new Answer({});
  }
}

@Controller('intercepted')
@UseInterceptors(Nothing)
class Intercepted {
  @Get()
  @CacheKey('intercepted')
  get() {
    return new Answer({});
  }
}

@Controller('piped')
class Piped {
  @Get()
  @UsePipes(ParseIntPipe)
  @AtEdge()
  get() {
    return new Answer({});
  }
}

/** The routes that Nest knows of a controller, and the edge routes made of them. */
async function routesOf(controller: Type): Promise<{ declared: DeclaredRoutes; made: EdgeRoute[]; make(): void }> {
  @Module({ imports: [DiscoveryModule], controllers: [controller], providers: [DeclaredRoutes] })
  class Own {}
  const nest = await NestFactory.createApplicationContext(Own, { logger: false, abortOnError: false });
  const declared = nest.get(DeclaredRoutes);
  await nest.close();
  const made: EdgeRoute[] = [];
  const callers = { known: () => undefined, ruleOf: () => () => true };
  const edge = { callers, priorities: new Priorities(), add: (route: EdgeRoute) => made.push(route) };
  const routes = new EdgeRoutes(declared, edge as unknown as Edge, {} as Cache);
  return { declared, made, make: () => routes.onModuleInit() };
}

it('knows every path of each handler when a controller has several', async () => {
  const { declared, made, make } = await routesOf(Orders);
  expect(declared.all().map(({ method, template }) => `${method} ${template}`)).toEqual([
    'GET /orders/:id',
    'GET /orders/:id/whole',
    'GET /shop/orders/:id',
    'GET /shop/orders/:id/whole',
    'GET /orders',
    'GET /shop/orders',
    'POST /orders',
    'POST /shop/orders',
  ]);
  make();
  expect(made).toHaveLength(6);
});

it.each([
  [Scoped, 'its controller, or a dependency of it, is request-scoped'],
  [Intercepted, 'it has interceptors of its own'],
  [Piped, 'it has pipes of its own'],
])('says why it cannot answer %p', async (controller, why) => {
  const { make } = await routesOf(controller);
  expect(make).toThrow(`${controller.name}.get cannot be answered at the edge: ${why}`);
});

it('leaves a result that is not an Answer to the pipeline, which sends it', async () => {
  const { made, make } = await routesOf(Orders);
  make();
  const list = made.find(({ template }) => template === '/orders') as EdgeRoute;
  const match = list.path.exec('/orders') as RegExpExecArray;
  await expect(list.load(match, '', undefined, undefined)).rejects.toThrow('Orders.list returned no Answer.');
});
