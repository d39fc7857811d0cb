import createClient, { type Client } from 'openapi-fetch';
import type { paths } from '../../client/openapi.js';
import { drift } from '../support/document.js';

/** A client whose types come from openapi.json alone (npm run client). */
export type Api = Client<paths>;

export function createApi(baseUrl: string, accessToken?: string): Api {
  const api = createClient<paths>({ baseUrl });
  api.use({
    onRequest({ request }) {
      if (accessToken) request.headers.set('authorization', `Bearer ${accessToken}`);
    },
    async onResponse({ request, response }) {
      const path = request.url.slice(baseUrl.length);
      const text = await response.clone().text();
      const unsaid = drift(request.method, path, response.status, response.headers, text);
      if (unsaid.length > 0) throw new Error(unsaid.join('\n'));
    },
  });
  return api;
}

/** The answer's entity tag, for a change. */
export const ifMatch = (response: Response) => ({ 'if-match': given(response.headers.get('etag')) });

/** A value that an answer must have, for the compiler as well. */
export function given<T>(value: T | null | undefined): T {
  if (value === undefined || value === null) throw new Error('the answer is not of the kind that was expected');
  return value;
}
