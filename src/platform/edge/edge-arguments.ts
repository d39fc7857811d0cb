import { ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { LRUCache } from 'lru-cache';
import { readQuery } from '../http/query.js';
import { StartError } from '../start-error.js';
import type { EdgeContext, EdgeRequest } from './edge-context.js';

/** Parsed queries cached per route, and the longest query that is cached. */
const QUERIES_REMEMBERED = 1000;
const LONGEST_QUERY = 500;

interface Schema {
  '~standard': { validate(value: unknown): { issues?: unknown; value?: unknown } | Promise<unknown> };
}

/** A handler's parameter, as its decorator stored it. */
interface Parameter {
  index: number;
  data?: string;
  pipes: unknown[];
  schema?: Schema;
  factory?: (data: unknown, context: EdgeContext) => unknown;
  type: number;
}

/** A query: its parameters, and the values of the handler's arguments by their index. */
interface Query {
  parameters: Record<string, unknown>;
  values: Map<number, unknown>;
}

const INVALID = Symbol('invalid');

/** Reads a handler's arguments as Nest does, but synchronously. */
export class EdgeArguments {
  private readonly parameters: Parameter[];
  private readonly queries = new LRUCache<string, Query>({
    max: QUERIES_REMEMBERED,
    memoMethod: ((text: string) => this.parse(text)) as () => Query,
  });
  private readonly takesQuery: boolean;

  /** @throws StartError when the handler has a parameter that the edge cannot read */
  constructor(controller: new () => object, name: string) {
    const metadata: Record<string, Omit<Parameter, 'type'>> = Reflect.getMetadata(
      ROUTE_ARGS_METADATA,
      controller,
      name,
    ) ?? {};
    this.parameters = Object.entries(metadata).map(([key, one]) => ({ ...one, type: Number(key.split(':')[0]) }));
    for (const { type, factory, pipes, index } of this.parameters) {
      const isKnown = factory || type === RouteParamtypes.PARAM || type === RouteParamtypes.QUERY;
      if (isKnown && pipes.length === 0) continue;
      throw new StartError(
        `${controller.name}.${name} cannot be answered at the edge: its parameter ${index + 1} must be a @Param, a @Query or a decorator of your own, with a schema and without pipes`,
      );
    }
    this.takesQuery = this.parameters.some(({ type, factory }) => !factory && type === RouteParamtypes.QUERY);
  }

  /** @returns undefined for a query that the pipeline has to answer */
  query(text: string): Query | undefined {
    if (!this.takesQuery) return text === '' ? NO_QUERY : undefined;
    return text.length > LONGEST_QUERY ? this.parse(text) : this.queries.memo(text);
  }

  /** @returns undefined when an argument is not valid */
  of({ params }: EdgeRequest, { values }: Query, context: EdgeContext): unknown[] | undefined {
    const found: unknown[] = [];
    for (const { index, data, type, schema, factory } of this.parameters) {
      let value: unknown;
      if (factory) value = factory(data, context);
      else if (type === RouteParamtypes.QUERY) value = values.get(index);
      else value = checked(params, data, schema);
      if (value === INVALID) return undefined;
      found[index] = value;
    }
    return found;
  }

  /** @returns undefined for an invalid query, which is not cached */
  private parse(text: string): Query | undefined {
    const parameters = readQuery(text);
    if (!parameters) return undefined;
    const values = new Map<number, unknown>();
    for (const { index, data, type, schema, factory } of this.parameters) {
      if (factory || type !== RouteParamtypes.QUERY) continue;
      const value = checked(parameters, data, schema);
      if (value === INVALID) return undefined;
      values.set(index, value);
    }
    return { parameters, values };
  }
}

const NO_QUERY: Query = { parameters: {}, values: new Map() };

/** Validates all parameters, or the named one. */
function checked(all: Record<string, unknown>, name: string | undefined, schema: Schema | undefined): unknown {
  const value = name === undefined ? all : all[name];
  if (!schema) return value;
  const result = schema['~standard'].validate(value);
  return result instanceof Promise || result.issues ? INVALID : result.value;
}
