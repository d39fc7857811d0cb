import { get } from 'node:http';

export interface PlainAnswer {
  status: number;
  headers: Record<string, string | undefined>;
  bytes: Buffer;
}

/** Sends only these headers, and returns the raw bytes: fetch would add headers and decompress. */
export const ask = (url: string, headers: Record<string, string> = {}, method = 'GET'): Promise<PlainAnswer> =>
  new Promise((resolve, reject) => {
    const request = get(url, { method, headers }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk);
      resolve({
        status: response.statusCode as number,
        headers: response.headers as PlainAnswer['headers'],
        bytes: Buffer.concat(chunks),
      });
    });
    request.on('error', reject);
  });
