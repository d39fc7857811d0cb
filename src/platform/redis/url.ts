import { canDecode } from '../http/split-url.js';

export interface Address {
  host: string;
  port: number;
}

/** What REDIS_URL says. */
export interface Place {
  /** Whether the addresses are those of Redis, of Sentinels that know the primary's address, or of a cluster's nodes. */
  kind: 'redis' | 'sentinel' | 'cluster';
  addresses: Address[];
  tls: boolean;
  username?: string;
  password?: string;
  database: number;
  /** What Sentinels call the primary. */
  primary: string;
}

const BEGINNING = /^redis(s?)(?:\+(sentinel|cluster))?:\/\/(?:([^/:]*)(?::([^/]*))?@)?/;
type Parts = [beginning: string, s: string, kind?: Place['kind'], username?: string, password?: string];
const PORTS = { redis: 6379, sentinel: 26_379, cluster: 6379 };

/** @throws Error with what is wrong as the end of a sentence, which repeats nothing of the text */
export function parseRedisUrl(text: string): Place {
  const found = BEGINNING.exec(text);
  const kinds = 'redis:// or rediss://, or redis+sentinel:// or redis+cluster://, also with rediss';
  if (!found) throw new Error(`must be a URL that begins with ${kinds}`);
  if (/[?#]/.test(text)) throw new Error('must not have a ? or #: what follows them would have no effect');
  if (!canDecode(text)) throw new Error('must be a URL with every % of a password written as %25');
  const [beginning, s, kind = 'redis', username, password] = found as unknown as Parts;
  // A list may also repeat the scheme, user and password.
  const rest = text.slice(beginning.length).replaceAll(`,${beginning}`, ',');
  if (rest.includes('://')) throw new Error('must have one scheme, user and password for all of its hosts');
  const [hosts = '', ...path] = rest.split('/');
  return {
    kind,
    addresses: hosts.split(',').map((host) => addressOf(host, PORTS[kind])),
    tls: s !== '',
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
    ...WITH_PATH[kind](path.join('/')),
  };
}

const WITH_PATH: Record<Place['kind'], (path: string) => Pick<Place, 'database' | 'primary'>> = {
  redis: (path) => {
    if (!/^\d*$/.test(path)) throw new Error('must have a database number as its path, such as /0, or no path');
    return { database: Number(path), primary: '' };
  },
  sentinel: (path) => {
    const [, primary, database] = /^([\w.-]+)(?:\/(\d+))?$/.exec(path) ?? [];
    if (!primary) throw new Error("must have the primary's name at the Sentinels as its path, such as /mymaster");
    return { database: Number(database ?? 0), primary };
  },
  cluster: (path) => {
    if (!/^0?$/.test(path)) throw new Error('must have no path: a cluster has only one database');
    return { database: 0, primary: '' };
  },
};

function addressOf(text: string, port: number): Address {
  const url = `redis://${text.trim()}`;
  const given = URL.canParse(url) ? new URL(url) : undefined;
  if (!given?.hostname) throw new Error('must have a host, and perhaps a port, in each place between commas');
  return { host: given.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(given.port) || port };
}
