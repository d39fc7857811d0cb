import { type CanActivate, Injectable, RequestMethod } from '@nestjs/common';
import { GUARDS_METADATA, METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';

/** A route's template, `/api/v1/users/:id`, of the controller's path and the handler's. */
const templateOf = (paths: string[]): string =>
  `/${paths
    .flatMap((path) => path.split('/'))
    .filter((part) => part !== '')
    .join('/')}`;

export type Handler = (...args: unknown[]) => unknown;
export type Controller = new () => object;

/** A route as a controller declares it. */
export interface DeclaredRoute {
  /** As HTTP has it: 'GET'. */
  method: string;
  /** `/api/v1/users/:id` */
  template: string;
  controller: Controller;
  instance: object;
  handler: Handler;
  /** The handler's. */
  name: string;
  /** Those of the controller and of the handler, in the order in which Nest asks them. */
  guards: CanActivate[];
}

/** What Nest knows of all routes. */
@Injectable()
export class DeclaredRoutes {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  all(): DeclaredRoute[] {
    return this.discovery.getControllers().flatMap((wrapper) => {
      const controller = wrapper.metatype as Controller;
      const { prototype } = controller as { prototype: Record<string, Handler> };
      return this.scanner.getAllMethodNames(prototype).flatMap((name) => {
        const handler = prototype[name] as Handler;
        const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler)];
        if (method === undefined) return [];
        const template = templateOf([controller, handler].map((of) => Reflect.getMetadata(PATH_METADATA, of)));
        const guards = [controller, handler].flatMap((of) => guardsOf(of, wrapper));
        return [{ method, template, controller, instance: wrapper.instance, handler, name, guards }];
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
