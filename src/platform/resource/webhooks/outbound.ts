import { Resolver } from 'node:dns/promises';
import * as http from 'node:http';
import * as https from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import { Inject, Injectable } from '@nestjs/common';
import ipaddr from 'ipaddr.js';
import { CONFIG, type Config } from '../../config.token.js';

/** An answer counts by its status; of its body, so much is read that the connection can be used again. */
const ANSWER_BYTES = 16_384;
/** Many servers close idle connections after 5 s. */
const IDLE_MS = 4000;
/** The addresses that are given out for public use; others translate to addresses of any kind, or lead nowhere. */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3');
/** Azure's virtual machines reach their host and its metadata at this address of public space. */
const AZURE_HOST = '168.63.129.16';

/** Posts to URLs that users choose: never to private addresses, whatever the URL's name leads to, unless a setting allows them. */
@Injectable()
export class Outbound {
  /** Not the system's lookup, which slow names would keep from hashing passwords: both use the same few threads. */
  readonly resolver = new Resolver({ timeout: 2000, tries: 2 });
  private readonly allowed: ReturnType<typeof ipaddr.parseCIDR>[];
  private readonly http: http.Agent;
  private readonly https: https.Agent;

  constructor(@Inject(CONFIG) private readonly config: Config) {
    this.allowed = (config.WEBHOOK_ALLOWED_ADDRESSES ?? []).map((range) => ipaddr.parseCIDR(range));
    const lookup: LookupFunction = (name, _, done) => {
      // The addresses that are checked are those that are connected to.
      this.resolve(name).then(
        (addresses) => done(null, addresses),
        (error) => done(error, []),
      );
    };
    const options = { keepAlive: true, timeout: IDLE_MS, autoSelectFamily: true, lookup };
    this.http = new http.Agent(options);
    this.https = new https.Agent(options);
  }

  /** @throws Error when the URL's host is an address, in whatever form, that may not be reached */
  check(url: string): void {
    const host = new URL(url).hostname.replace('[', '').replace(']', '');
    if (isIP(host) !== 0) this.assertMayReach(host);
  }

  /** @returns the status @throws Error that says to the webhook's owner why there was none */
  async post(url: string, headers: http.OutgoingHttpHeaders, body: string): Promise<number> {
    this.check(url);
    const signal = AbortSignal.timeout(this.config.WEBHOOK_TIMEOUT_MS);
    const by = url.toLowerCase().startsWith('https:')
      ? { ask: https.request, agent: this.https }
      : { ask: http.request, agent: this.http };
    return new Promise((resolve, reject) => {
      const request = by.ask(url, { method: 'POST', agent: by.agent, headers, signal });
      request.once('error', (error: NodeJS.ErrnoException) => {
        reject(new Error(signal.aborted ? 'no answer in time' : (error.code ?? error.message)));
      });
      // Without a listener Node closes the connection, and tells neither of an error nor of a response.
      request.once('upgrade', (answer, socket) => {
        socket.destroy();
        resolve(answer.statusCode as number);
      });
      request.once('response', (answer) => {
        let bytes = 0;
        // From here on, whatever happens, the status counts.
        request.removeAllListeners('error').on('error', () => {});
        answer.on('error', () => {});
        answer.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > ANSWER_BYTES) answer.destroy();
        });
        answer.once('close', () => resolve(answer.statusCode as number));
      });
      request.end(body);
    });
  }

  private async resolve(name: string): Promise<{ address: string; family: number }[]> {
    const found = await Promise.allSettled([this.resolver.resolve4(name), this.resolver.resolve6(name)]);
    const addresses = found.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    if (addresses.length === 0) throw new Error('the name has no address');
    for (const address of addresses) this.assertMayReach(address);
    return addresses.map((address) => ({ address, family: isIP(address) }));
  }

  private assertMayReach(text: string): void {
    const address = ipaddr.process(text);
    const isUnicast = address.range() === 'unicast' && address.toString() !== AZURE_HOST;
    const isPublic = isUnicast && (address.kind() === 'ipv4' || address.match(GLOBAL_IPV6));
    const isAllowed = this.allowed.some((range) => range[0].kind() === address.kind() && address.match(range));
    if (!isPublic && !isAllowed) throw new Error('leads to an address that is not public');
  }
}
