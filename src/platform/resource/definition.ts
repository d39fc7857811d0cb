import type { ObjectLiteral } from 'typeorm';
import { z } from 'zod';
import { StartError } from '../start-error.js';
import { pageParameters } from './page.js';
import type { Policy } from './policy.js';
import type { RepositoryOptions } from './repository.js';
import type { Property } from './table.js';

export const resourceId = z.uuid().toLowerCase().meta({ description: 'UUIDv7: newer ones sort behind older ones.' });

export type Entity<T> = new () => T;

/** What stands for an entity's resource in Nest's injector. */
export const resourceToken = ({ name }: Entity<object>): string => `${name}Resource`;

export interface ResourceOptions<T extends ObjectLiteral>
  extends Omit<RepositoryOptions<T, never>, 'beside' | 'parent'> {
  /** What one of them is called: `order`, `price list`. */
  name: string;
  /** Where they are: `/api/v1/orders`. */
  path: string;
  /** What a body that makes or replaces one must be; a patched one, too. */
  input: z.ZodObject;
  policy: Policy<T>;
  /** Columns that lists can be sorted by, each with an index; the first one is usual, newest or greatest first. */
  sorts: [Property<T>, ...Property<T>[]];
}

/** A resource as its module declares it: rows of an entity, what clients see of them, who may, and how they are listed. */
export interface ResourceDefinition<T extends ObjectLiteral> extends ResourceOptions<T> {
  entity: Entity<T>;
}

export const defineResource = <T extends ObjectLiteral>(
  entity: Entity<T>,
  options: ResourceOptions<T>,
): ResourceDefinition<T> => ({ ...options, entity });

/** Where a row is, and what it is kept as. */
export const pathOf = ({ path }: { path: string }, id: string): string => `${path}/${id.toLowerCase()}`;

/**
 * The parameters of a resource's list: page, `sort`, and its filters.
 * @throws StartError for a filter that has the name of another parameter
 */
export function listQuery<T extends ObjectLiteral>({ entity, sorts, filters = {} }: ResourceDefinition<T>) {
  const taken = Object.keys(filters).find((name) => name === 'sort' || name in pageParameters);
  if (taken)
    throw new StartError(`The filter ${taken} of ${entity.name} has the name of a parameter that every list has`);
  const orders = sorts.flatMap((sort) => [`-${sort}`, sort]) as [string, ...string[]];
  const sort = z
    .enum(orders)
    .default(orders[0])
    .meta({ description: 'By which member; with `-`, greatest or newest first.' });
  const narrowing = Object.entries(filters).map(([name, { schema }]) => [name, schema.optional()]);
  return z.strictObject({ ...pageParameters, sort, ...(Object.fromEntries(narrowing) as Record<string, never>) });
}

/** A resource's list as its caller asks for it. */
export interface ListQuery {
  limit: number;
  cursor?: string | undefined;
  sort: string;
  [filter: string]: string | number | undefined;
}

/** The members of a body as answers have them: what may be left out of it is there, and null where it was. */
export function shownAs<Shape extends z.ZodRawShape>({ shape }: z.ZodObject<Shape>): Shape {
  const shown = Object.entries(shape).map(([name, member]) => {
    if (member instanceof z.ZodDefault) return [name, member.unwrap()];
    return [name, member instanceof z.ZodOptional ? z.nullable(member.unwrap()) : member];
  });
  return Object.fromEntries(shown);
}

/** The body of a merge patch (RFC 7396): what it may hold is known only when it is merged. */
export function mergePatchOf(input: z.ZodObject, id: string) {
  const members = Object.entries(input.shape).map(([name, member]) => {
    const shown = described(member as z.ZodType);
    return [
      name,
      z
        .unknown()
        .optional()
        .meta({ anyOf: [shown, { type: 'null' }] }),
    ];
  });
  return z.strictObject(Object.fromEntries(members)).meta({ id, description: 'JSON Merge Patch (RFC 7396).' });
}

/** A member as the document has it: what has a name is a component there, and what is left out of a patch stays. */
function described(member: z.ZodType): object {
  const text = JSON.stringify(z.toJSONSchema(member, { io: 'input', unrepresentable: 'any' }));
  const { $schema, $defs, default: _, ...shown } = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/'));
  return shown;
}
