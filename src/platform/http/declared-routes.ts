import { type CanActivate, Injectable, RequestMethod } from '@nestjs/common';
import { GUARDS_METADATA, METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { StartError } from '../start-error.js';

type Paths = string | string[];

/** The templates of a handler's routes, such as `/api/v1/users/:id`, for all of its own and the controller's paths. */
const templatesOf = (of: Paths, below: Paths): string[] =>
  [of].flat().flatMap((path) =>
    [below].flat().map((rest) => {
      const parts = `${path}/${rest}`.split('/').filter((part) => part !== '');
      return `/${parts.join('/')}`;
    }),
  );

export type Handler = (...args: unknown[]) => unknown;
export type Controller = new () => object;

/** A route as a controller declares it. */
export interface DeclaredRoute {
  /** The HTTP method: 'GET'. */
  method: string;
  /** The path: `/api/v1/users/:id`. */
  template: string;
  controller: Controller;
  instance: object;
  handler: Handler;
  /** The handler's name. */
  name: string;
  /** The guards of the controller and of the handler, in the order in which Nest calls them. */
  guards: CanActivate[];
  /** Whether one controller instance serves all requests. */
  isStatic: boolean;
}

/**
 * Puts a guard or an interceptor first or last among those of a handler, before Nest makes the routes. It replaces the
 * one that another app in this process has put there.
 */
export function enhance(handler: Handler, key: string, enhancer: object, place: 'first' | 'last'): void {
  const declared: unknown[] = Reflect.getMetadata(key, handler) ?? [];
  const others = declared.filter((one) => !(one instanceof enhancer.constructor));
  Reflect.defineMetadata(key, place === 'first' ? [enhancer, ...others] : [...others, enhancer], handler);
}

/** Lists the routes of all controllers. */
@Injectable()
export class DeclaredRoutes {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  /** @throws StartError when two routes match the same requests */
  all(): DeclaredRoute[] {
    const routes = this.declared();
    const taken = new Map<string, string>();
    for (const { method, template, controller, name } of routes) {
      const [what, who] = [`${method} ${template.replace(/:[^/]+/g, ':')}`, `${controller.name}.${name}`];
      const other = taken.get(what);
      if (other) throw new StartError(`${other} and ${who} both take ${method} ${template}`);
      taken.set(what, who);
    }
    return routes;
  }

  private declared(): DeclaredRoute[] {
    return this.discovery.getControllers().flatMap((wrapper) => {
      const controller = wrapper.metatype as Controller;
      const { prototype } = controller as { prototype: Record<string, Handler> };
      return this.scanner.getAllMethodNames(prototype).flatMap((name) => {
        const handler = prototype[name] as Handler;
        const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler)];
        if (method === undefined) return [];
        const [path, rest] = [controller, handler].map((of): Paths => Reflect.getMetadata(PATH_METADATA, of));
        const guards = [controller, handler].flatMap((of) => guardsOf(of, wrapper));
        const route = { method, controller, instance: wrapper.instance, handler, name, guards };
        const isStatic = wrapper.isDependencyTreeStatic();
        return templatesOf(path as Paths, rest as Paths).map((template) => ({ ...route, template, isStatic }));
      });
    });
  }
}

function guardsOf(of: object, { host }: InstanceWrapper): CanActivate[] {
  const given: (CanActivate | (new () => CanActivate))[] = Reflect.getMetadata(GUARDS_METADATA, of) ?? [];
  return given.map((guard) =>
    typeof guard === 'function' ? (host?.injectables.get(guard)?.instance as CanActivate) : guard,
  );
}
