import type { ObjectLiteral } from 'typeorm';
import { z } from 'zod';
import { type Asked, feedParameters } from '../feed/asked.js';
import { StartError } from '../start-error.js';
import { pageParameters } from './page.js';
import type { Policy } from './policy.js';
import type { RepositoryOptions } from './repository.js';
import type { Property } from './table.js';

export const resourceId = z.uuid().toLowerCase().meta({ description: 'A UUIDv7: newer ids sort after older ones.' });

export type Entity<T> = new () => T;

/** The injection token of an entity's resource. */
export const resourceToken = ({ name }: Entity<object>): string => `${name}Resource`;

export interface ResourceOptions<T extends ObjectLiteral>
  extends Omit<RepositoryOptions<T, never>, 'beside' | 'parent'> {
  /** What one of them is called: `order`, `price list`. */
  name: string;
  /** Their path: `/api/v1/orders`. */
  path: string;
  /** The schema of a body that creates or replaces one, and of the result of a patch. */
  input: z.ZodObject;
  policy: Policy<T>;
  /**
   * Tells listeners of each change: names the column that the policy narrows lists to. A migration must call
   * feed_changes() with the table and the column.
   */
  changes?: Property<T>;
  /** Lets users have the changes of their lists posted to URLs of theirs. It needs `changes`. */
  webhooks?: true;
  /** Columns that lists can be sorted by, each with an index. The first is the default, newest or greatest first. */
  sorts: [Property<T>, ...Property<T>[]];
}

/** A resource as its module declares it: its entity, what clients see, its policy, and how it is listed. */
export interface ResourceDefinition<T extends ObjectLiteral> extends ResourceOptions<T> {
  entity: Entity<T>;
}

export const defineResource = <T extends ObjectLiteral>(
  entity: Entity<T>,
  options: ResourceOptions<T>,
): ResourceDefinition<T> => ({ ...options, entity });

/** A name as a part of others: `PriceList`. */
export const titled = ({ name }: { name: string }): string =>
  name.replace(/(?:^| )(.)/g, (_, letter: string) => letter.toUpperCase());

/** A row's path, which is also its name in the cache. */
export const pathOf = ({ path }: { path: string }, id: string): string => `${path}/${id.toLowerCase()}`;

/**
 * The query parameters of a resource's list: page, `sort` and its filters.
 * @throws StartError for a filter with the name of another parameter
 */
export function listQuery<T extends ObjectLiteral>({ entity, sorts, filters = {} }: ResourceDefinition<T>) {
  const taken = Object.keys(filters).find((name) => name === 'sort' || name in pageParameters);
  if (taken) throw new StartError(`The filter ${taken} of ${entity.name} has the name of a parameter of every list`);
  const orders = sorts.flatMap((sort) => [`-${sort}`, sort]) as [string, ...string[]];
  const sort = z
    .enum(orders)
    .default(orders[0])
    .meta({ description: 'The member to sort by; with `-`, greatest or newest first.' });
  const narrowing = Object.entries(filters).map(([name, { schema }]) => [name, schema.optional()]);
  return z.strictObject({ ...pageParameters, sort, ...(Object.fromEntries(narrowing) as Record<string, never>) });
}

/** The query parameters of a resource's export: those of its list without the page's. */
export const exportQuery = <T extends ObjectLiteral>(definition: ResourceDefinition<T>) =>
  listQuery(definition).omit({ limit: true, cursor: true });

/** The query parameters of a resource's changes: where to go on, how long to wait, and the filters of its list. */
export const changesQuery = <T extends ObjectLiteral>(definition: ResourceDefinition<T>) =>
  listQuery(definition).omit({ limit: true, cursor: true, sort: true }).extend(feedParameters);

/** The query of a resource's changes. */
export interface ChangesQuery extends Asked {
  [filter: string]: string | number | undefined;
}

/** The query of a resource's export. */
export interface ExportQuery {
  sort: string;
  [filter: string]: string | undefined;
}

/** The query of a resource's list. */
export interface ListQuery {
  limit: number;
  cursor?: string | undefined;
  sort: string;
  [filter: string]: string | number | undefined;
}

/** A body's members as answers show them: a member that was left out is present with its default or null. */
export function shownAs<Shape extends z.ZodRawShape>({ shape }: z.ZodObject<Shape>): Shape {
  const shown = Object.entries(shape).map(([name, member]) => {
    if (member instanceof z.ZodDefault) return [name, member.unwrap()];
    return [name, member instanceof z.ZodOptional ? z.nullable(member.unwrap()) : member];
  });
  return Object.fromEntries(shown);
}

/** The body of a merge patch (RFC 7396), whose members are validated only after merging. */
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

/** A member's schema in the document: named schemas are components, and there is no default, since a patch has none. */
export function described(member: z.ZodType): object {
  const text = JSON.stringify(z.toJSONSchema(member, { io: 'input', unrepresentable: 'any' }));
  const { $schema, $defs, default: _, ...shown } = JSON.parse(text.replaceAll('"#/$defs/', '"#/components/schemas/'));
  return shown;
}
