import { z } from 'zod';
import { problemTypes, problemUri } from '#built/platform/http/problem.js';

export type Schema = Record<string, unknown>;

/** Text that can be stored: PostgreSQL has no NUL. */
const TEXT = '^[^\\u0000]*$';

const options = {
  target: 'draft-2020-12',
  // Data, of which JSON Schema says more than its check (see below).
  unrepresentable: 'any',
  io: 'input',
  override: ({ zodSchema, jsonSchema }: { zodSchema: unknown; jsonSchema: Schema }) => {
    // Left out where a text is made into something else, though these are examples of the text.
    const examples = z.globalRegistry.get(zodSchema as z.ZodType)?.examples;
    if (examples) jsonSchema.examples = examples;
    const { type, format } = jsonSchema;
    // The format says it; the pattern by which it is checked is no help to a reader. Formats of an address differ.
    if ((format !== undefined && format !== 'password' && format !== 'email') || type !== 'string')
      delete jsonSchema.pattern;
    else if (jsonSchema.enum === undefined && jsonSchema.const === undefined) jsonSchema.pattern ??= TEXT;
    // In a query everything is text, also what stands for a number.
    if (type === 'integer' && jsonSchema.default !== undefined) jsonSchema.default = Number(jsonSchema.default);
  },
} as const;

export const problemSchema = z
  .object({
    type: z.string().meta({ description: 'Which problem it is.', enum: Object.keys(problemTypes).map(problemUri) }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().meta({ description: 'The path that was asked for.' }),
    requestId: z.string().meta({ description: 'As in X-Request-Id.' }),
    errors: z
      .array(z.object({ line: z.int().optional(), pointer: z.string().meta({ pattern: '^' }), detail: z.string() }))
      .optional()
      .meta({ description: 'What is wrong: a JSON Pointer into the body (or its line), or the name of a parameter.' }),
    inserted: z.int().optional().meta({ description: 'Of a bulk upload: how many records are stored all the same.' }),
    failed: z.int().optional().meta({ description: 'Of an atomic bulk upload: how many lines are bad.' }),
    'violated-policies': z
      .array(z.string())
      .optional()
      .meta({ description: 'Which limits were exceeded, as RateLimit-Policy names them.' }),
    checks: z
      .record(z.string(), z.looseObject({ status: z.string() }))
      .optional()
      .meta({ description: 'Of readiness: what is up and what is not.' }),
  })
  .meta({ id: 'Problem', description: 'What went wrong (RFC 9457).' });

/** A schema with an id becomes a component of that name; any other stands where it is used. */
export function toJsonSchema(schema: z.ZodType): Schema {
  const { id } = schema.meta() ?? {};
  return id ? { $ref: `#/components/schemas/${id}` } : withoutRoot(z.toJSONSchema(schema, options));
}

const withoutRoot = ({ $schema, $id, id, ...rest }: Schema): Schema => rest;

/** All schemas with an id. Taken as they go in, objects stay open for fields that come later, as the contract has it. */
export function schemas(): Schema {
  const uri = (id: string) => `#/components/schemas/${id}`;
  const { schemas: made } = z.toJSONSchema(z.globalRegistry, { ...options, uri });
  const named = Object.entries(made).map(([id, schema]) => [id, withoutRoot(schema as Schema)]);
  return Object.fromEntries(named);
}
