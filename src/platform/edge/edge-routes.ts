import { CACHE_KEY_METADATA, type CacheKeyFactory } from '@nestjs/cache-manager';
import { type CanActivate, Injectable, type OnModuleInit } from '@nestjs/common';
import { EXCEPTION_FILTERS_METADATA, INTERCEPTORS_METADATA, PIPES_METADATA } from '@nestjs/common/constants.js';
import { AnswerCacheInterceptor, keep } from '../cache/answer-cache.interceptor.js';
import { Cache } from '../cache/cache.js';
import type { Entry } from '../cache/entry.js';
import { Answer } from '../http/answer.js';
import { type DeclaredRoute, DeclaredRoutes } from '../http/declared-routes.js';
import { invalid, Problem } from '../http/problem.js';
import { PRIORITY } from '../overload/priority.js';
import { StartError } from '../start-error.js';
import { AT_EDGE } from './at-edge.js';
import { Edge } from './edge.js';
import { EdgeArguments } from './edge-arguments.js';
import { EdgeContext, type EdgeRequest } from './edge-context.js';
import { namesOf, pathOf } from './edge-path.js';
import type { EdgeRoute, Read } from './edge-route.js';

const PASSED_OVER = {
  interceptors: INTERCEPTORS_METADATA,
  pipes: PIPES_METADATA,
  'exception filters': EXCEPTION_FILTERS_METADATA,
};

/**
 * Makes an edge route of every read that is cached (@CacheKey) or marked with @AtEdge. It uses the guards, parameters,
 * cache key and handler that the controller declares, so that the edge and the pipeline cannot differ.
 */
@Injectable()
export class EdgeRoutes implements OnModuleInit {
  constructor(
    private readonly declared: DeclaredRoutes,
    private readonly edge: Edge,
    private readonly cache: Cache,
  ) {}

  /** @throws StartError for a route that the edge cannot answer */
  onModuleInit(): void {
    const routes = this.declared.all();
    for (const route of routes) {
      const { method, template, handler } = route;
      const priority = Reflect.getMetadata(PRIORITY, handler);
      const isRead = [AT_EDGE, CACHE_KEY_METADATA].some((key) => Reflect.hasMetadata(key, handler));
      if (!priority && !isRead) continue;
      const templates = routes.filter((other) => other.method === method).map((other) => other.template);
      const path = pathOf(template, templates);
      if (priority) this.edge.priorities.add(method, path, priority);
      if (isRead) this.edge.add(this.routeOf(route, path));
    }
  }

  private routeOf(route: DeclaredRoute, path: RegExp): EdgeRoute {
    assertPlain(route);
    const { controller, instance, handler, name, template, guards } = route;
    const keyOf = Reflect.getMetadata(CACHE_KEY_METADATA, handler) as CacheKeyFactory | undefined;
    const names = namesOf(template);
    const given = new EdgeArguments(controller, name);
    const mayCall = this.edge.callers.ruleOf(handler);
    const load: EdgeRoute['load'] = (match, text, caller, known) => {
      const query = given.query(text);
      if (!query) return undefined;
      const params: Record<string, string> = {};
      for (let i = 0; i < names.length; i++) params[names[i] as string] = match[i + 1] as string;
      if (!mayCall(caller, params)) return undefined;
      const url = text === '' ? match[0] : `${match[0]}?${text}`;
      const request: EdgeRequest = { method: 'GET', url, params, query: query.parameters, caller };
      const context = new EdgeContext(request, handler, controller);
      const allowed = admit(guards, context);
      // Nothing else handles a rejection when the result is not used.
      if (allowed instanceof Promise) allowed.catch(ignore);
      if (allowed === false) return undefined;
      if (known && keyOf && allowed === true) return ifFound(known);
      const read = async (): Promise<Answer> => {
        const args = given.of(request, query, context);
        if (!args) throw invalid('A parameter is not valid.');
        const answer = await handler.apply(instance, args);
        if (!(answer instanceof Answer)) throw new TypeError(`${controller.name}.${name} returned no Answer.`);
        return answer;
      };
      if (!keyOf) return allowed === true ? read() : allowed.then((isAllowed) => (isAllowed ? read() : undefined));
      const key = keyOf(context) as string | undefined;
      return key === undefined ? undefined : this.kept(key, allowed, request, read);
    };
    // Without path parameters, one path may have a different answer for each caller.
    const isShared = keyOf !== undefined && names.length > 0;
    return { path, template, isForAnyone: mayCall(undefined, {}), isShared, load };
  }

  /** Reads the entry while the guards still decide. It is given only to a caller whom they allow. */
  private kept(
    key: string,
    allowed: true | Promise<boolean>,
    request: EdgeRequest,
    read: () => Promise<Answer>,
  ): Read | undefined | Promise<Read | undefined> {
    if (allowed === true) {
      const entry = this.cache.fetch(key, () => keep(read, request.madeOf));
      return entry instanceof Promise ? entry.then(ifFound) : ifFound(entry);
    }
    const isAllowed = allowed.catch(() => false);
    const madeOf = isAllowed.then(() => request.madeOf);
    const entry = this.cache.fetch(key, () => keep(read, madeOf, isAllowed));
    if (entry instanceof Promise) entry.catch(ignore);
    return allowed.then(async (isLetIn) => (isLetIn ? ifFound(await entry) : undefined), toPipeline);
  }
}

/** @throws StartError for a route that declares something the edge would ignore */
function assertPlain({ controller, handler, name, isStatic }: DeclaredRoute): void {
  const where = `${controller.name}.${name} cannot be answered at the edge:`;
  if (!isStatic) throw new StartError(`${where} its controller, or a dependency of it, is request-scoped`);
  for (const [what, key] of Object.entries(PASSED_OVER))
    if ([controller, handler].some((of) => declaredAt(of, key).length > 0))
      throw new StartError(`${where} it has ${what} of its own`);
}

/** Without the cache's own interceptor, whose work is done here. */
const declaredAt = (of: object, key: string): unknown[] =>
  (Reflect.getMetadata(key, of) ?? []).filter((one: unknown) => !(one instanceof AnswerCacheInterceptor));

/** Synchronous as long as every guard is. @throws what a guard throws */
function admit(guards: CanActivate[], context: EdgeContext, from = 0): boolean | Promise<boolean> {
  for (let i = from; i < guards.length; i++) {
    const allowed = guards[i]?.canActivate(context) as boolean | Promise<boolean>;
    if (allowed instanceof Promise) return allowed.then((one) => one && admit(guards, context, i + 1));
    if (!allowed) return false;
  }
  return true;
}

const ifFound = (entry: Entry): Entry<Answer> | undefined =>
  entry.value instanceof Answer ? (entry as Entry<Answer>) : undefined;

/** Leaves a guard's refusal to the pipeline. @throws the failure of a guard */
function toPipeline(error: unknown): undefined {
  if (!(error instanceof Problem) || error.status >= 500) throw error;
}

function ignore(): void {}
