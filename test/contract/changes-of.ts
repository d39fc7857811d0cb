import type { Client } from 'openapi-fetch';
import type { paths } from '../../client/openapi.js';

/** Changes of a collection, without end. @param after the `id` of the last one that was dealt with; from now on by default */
export async function* changesOf(api: Client<paths>, collection: string, after?: string) {
  for (;;) {
    const { data, error, response } = await api.GET('/api/v1/data/{collection}/changes', {
      params: { path: { collection }, query: { wait: '20s', ...(after && { after }) } },
      headers: { accept: 'application/x-ndjson' },
      parseAs: 'text',
    });
    if (error) throw new Error(`${error.status} ${error.detail}`);
    // Without a change there is no body, and openapi-fetch has no data.
    for (const line of (data ?? '').split('\n').slice(0, -1)) yield JSON.parse(line);
    after = /[?&]after=([\d-]+)/.exec(response.headers.get('link') ?? '')?.[1];
  }
}
