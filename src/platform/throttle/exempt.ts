import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import type { DiscoveryService, MetadataScanner } from '@nestjs/core';

/** The page of the documentation and the document are no routes of Nest's. */
const DOCUMENTATION = ['/docs(?:/.*)?', '/openapi\\.json'];

/**
 * The paths that the general limit leaves alone: of routes with a @SkipThrottle or a @Throttle, and of the documentation.
 * Controllers name their paths in full here: there is no global prefix.
 */
export function exemptPaths(discovery: DiscoveryService, scanner: MetadataScanner): RegExp {
  const paths = discovery.getControllers().flatMap(({ metatype }) => {
    const controller = metatype as new () => Record<string, object>;
    return scanner.getAllMethodNames(controller.prototype).flatMap((method) => {
      const handler = controller.prototype[method] as object;
      const isRoute = Reflect.hasMetadata(METHOD_METADATA, handler);
      if (!isRoute || !(hasThrottle(handler) || hasThrottle(controller))) return [];
      return pathsOf(controller).flatMap((base) => pathsOf(handler).map((rest) => patternOf(`${base}/${rest}`)));
    });
  });
  return new RegExp(`^(?:${[...DOCUMENTATION, ...paths].join('|')})(?:\\?|$)`);
}

const hasThrottle = (target: object) =>
  Reflect.getMetadataKeys(target).some((key) => String(key).startsWith('THROTTLER:'));

const pathsOf = (target: object): string[] => [Reflect.getMetadata(PATH_METADATA, target) as string | string[]].flat();

const patternOf = (path: string) =>
  `/${path.split('/').filter(Boolean).join('/')}`
    .replaceAll('.', '\\.')
    .replace(/:[^/]+/g, '[^/]+')
    .replace(/\*.*/, '.*');
