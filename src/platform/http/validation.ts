import { type ArgumentMetadata, Injectable, StandardSchemaValidationPipe } from '@nestjs/common';
import { z } from 'zod';
import { escapePointer, shown } from './json.js';
import { invalid, type Mistake } from './problem.js';

/** Mistakes are described in this API's own words, since Zod's may change with its version. */
z.config({ customError: (issue) => sentence(issue as z.core.$ZodRawIssue) });

const article = (type: string) => (/^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`);

function sentence(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'is missing';
      return `must be ${article(issue.expected === 'record' ? 'object' : String(issue.expected))}`;
    case 'invalid_value':
      return `must be one of ${(issue.values as unknown[]).join(', ')}`;
    case 'too_small':
      return `must ${amount(issue.origin, issue.minimum)} or more`;
    case 'too_big':
      return `must ${amount(issue.origin, issue.maximum)} or ${issue.origin === 'string' ? 'fewer' : 'less'}`;
    case 'unrecognized_keys':
      return 'is not a known name';
    case 'invalid_format':
      return `must be ${article(formats[String(issue.format)] ?? 'valid value')}`;
    default:
      return 'is not valid';
  }
}

const amount = (origin: string, figure: number | bigint) =>
  origin === 'string' ? `have ${figure} characters` : `be ${figure}`;

const formats: Record<string, string> = {
  email: 'email address',
  uuid: 'UUID',
  datetime: 'timestamp with an offset (RFC 3339)',
  regex: 'text of the documented form',
};

/** How many mistakes an answer lists: a body may hold a hundred thousand, whose list would be longer than the body. */
const MOST_MISTAKES = 100;

/** The first issues as mistakes. Each unknown name gets a mistake, with its own pointer. */
export function toMistakes(issues: readonly z.core.$ZodIssue[], asParameter = false): Mistake[] {
  const locate = (path: readonly PropertyKey[]) =>
    asParameter ? String(path[0] ?? '') : shown(path.map((step) => `/${escapePointer(String(step))}`).join(''));
  const told = issues.flatMap((issue) => {
    const paths = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
    return paths.slice(0, MOST_MISTAKES).map((path) => ({ pointer: locate(path), detail: issue.message }));
  });
  return told.slice(0, MOST_MISTAKES);
}

/** Validates bodies, queries and path parameters against the schemas that handlers declare for them. */
@Injectable()
export class ValidationPipe extends StandardSchemaValidationPipe {
  override async transform<T>(value: T, { schema, type, data }: ArgumentMetadata): Promise<T> {
    if (!schema || type === 'custom') return value;
    const result = await schema['~standard'].validate(value);
    if (!result.issues) return result.value as T;
    const issues = result.issues as readonly z.core.$ZodIssue[];
    if (type === 'body') throw invalid('The body is not valid.', toMistakes(issues));
    const mistakes = toMistakes(issues, true).map((mistake) => (data ? { ...mistake, pointer: data } : mistake));
    throw invalid('A parameter is not valid.', mistakes);
  }
}
