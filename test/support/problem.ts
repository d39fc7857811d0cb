import { type ProblemType, problemTypes, problemUri } from '../../src/platform/http/problem.js';

export interface Answered {
  status: number;
  headers: Headers;
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: its shape is checked here
  body: any;
}

/** Words that only a stack, a statement or a library would put into an answer. */
const INNARDS =
  /\bat .+\.[jt]s:\d|node_modules|\bSELECT\b|\bINSERT\b|relation "|QueryFailedError|FST_ERR|ECONN|ENOENT|\bpg_|typeorm/i;

/** Expects an answer to be this problem, and to keep the contract of all errors. */
export function expectProblem(answer: Answered, type: ProblemType): void {
  const { status, title } = problemTypes[type];
  expect({ status: answer.status, type: answer.body?.type }).toEqual({ status, type: problemUri(type) });
  expect(answer.headers.get('content-type')).toBe('application/problem+json');
  expect(answer.body).toMatchObject({
    title,
    status,
    detail: expect.stringMatching(/\S/),
    instance: expect.any(String),
    requestId: answer.headers.get('x-request-id'),
  });
  expect(answer.body.requestId).toMatch(/^[A-Za-z0-9._-]{1,128}$/);
  expect(answer.text).not.toMatch(INNARDS);
  if (status === 503) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
}
