import { Logger } from '@nestjs/common';
import { createClient, createCluster, ErrorReply, type RedisClientOptions } from 'redis';
import type { Config } from '../config.token.js';
import { type Address, type Place, parseRedisUrl } from './url.js';
import { within } from './within.js';

export type RedisClient = ReturnType<typeof createClient>;

/** A client that is to be connected, and that does not connect again by itself. */
export interface Link {
  client: RedisClient;
  /** Rejects when the connection breaks. */
  broken: Promise<never>;
  /** @returns whether a new client would be no better. Rejects if this one is of no use, and waits as long as Redis does */
  check(): Promise<boolean>;
}

/** How long a server may take to say what it is. */
const ASK_MS = 1000;

/** The servers that REDIS_URL names, and those of them to connect to now. */
export class Servers {
  private readonly logger = new Logger('Redis');
  private readonly place: Place;
  private readonly options: RedisClientOptions;
  /** All clients are copies of this one: making one with other options costs 35 ms of CPU. */
  private readonly model: RedisClient;
  /** Addresses without an answer, of which the log has told. */
  private readonly failing = new Set<string>();
  /** A cluster's nodes as last seen, since those of the URL may be gone one day. */
  private seen: Address[] = [];

  /** @param loseNode is called when a node of a cluster is lost */
  constructor(
    config: Config,
    url: string,
    private readonly loseNode: () => void,
  ) {
    this.place = parseRedisUrl(url);
    const { username, password, tls } = this.place;
    this.options = {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      disableOfflineQueue: true,
      commandsQueueMaxLength: 10_000,
      // It would bound only the wait until a command is sent, by a timer for each command.
      commandOptions: { timeout: 0 },
      // Redis Enterprise's: it would cost a look-up of the name on each connection.
      maintNotifications: 'disabled',
      socket: {
        connectTimeout: config.REDIS_TIMEOUT_MS * 20,
        reconnectStrategy: false,
        ...(tls || config.REDIS_CA ? { tls: true, ...(config.REDIS_CA ? { ca: config.REDIS_CA } : {}) } : {}),
      },
    };
    this.model = createClient(this.options);
  }

  /** For commands: the server, the primary, or all of the cluster. */
  forCommands(): Promise<Link> {
    return this.place.kind === 'cluster' ? this.cluster() : this.primary();
  }

  /** For messages: of a cluster any node, since all get them. */
  async forMessages(): Promise<Link> {
    if (this.place.kind !== 'cluster') return this.primary();
    const nodes = await this.nodes();
    return this.server(nodes[Math.floor(Math.random() * nodes.length)] as Address);
  }

  private async primary(): Promise<Link> {
    const { kind, addresses, primary } = this.place;
    if (kind === 'redis' && addresses.length === 1) return this.server(addresses[0] as Address);
    const found = await this.ask(addresses, async (client, address) => {
      if (kind === 'redis') return (await client.hello()).role === 'master' ? address : undefined;
      const named = await client.sendCommand(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', primary]);
      if (!Array.isArray(named)) throw new Error(`it knows no primary named ${primary}`);
      return { host: String(named[0]), port: Number(named[1]) };
    });
    // One that is cut off from the others may still name the old primary.
    const votes = ({ host, port }: Address) => found.filter((one) => one.host === host && one.port === port).length;
    const [first] = found.sort((one, other) => votes(other) - votes(one));
    if (!first) throw new Error(`none of ${addresses.map(nameOf).join(', ')} leads to a primary`);
    return this.server(first, 'master');
  }

  /** @param role that the server must have and keep; any, if left out */
  private server(address: Address, role?: 'master'): Link {
    const { kind, database } = this.place;
    const client = this.clientOf(address, database);
    const broken = new Promise<never>((_, reject) => client.on('error', reject));
    const check = async () => {
      const said = await client.hello().catch(unlessReply);
      if (said) expectMode(said.mode, kind === 'cluster' ? 'cluster' : 'standalone');
      if (said && role && said.role !== role) throw new Error(`${nameOf(address)} is a replica now`);
      return true;
    };
    return { client, broken, check };
  }

  private async cluster(): Promise<Link> {
    const rootNodes = (await this.nodes()).map((socket) => ({ socket }));
    const defaults = this.options;
    // A node is connected to when it is needed: so one that is mute delays no others.
    const cluster = createCluster({ rootNodes, defaults, minimizeConnections: true, commandOptions: { timeout: 0 } });
    let isFit = true;
    cluster.on('error', ignore);
    cluster.on('node-ready', (address: Address) => this.failing.delete(nameOf(address)));
    cluster.on('node-error', (error: Error, address: Address) => {
      isFit = false;
      if (this.complain(address, error)) this.loseNode();
    });
    const check = async () => {
      const pings = cluster.masters.map(async ({ client, connectPromise }) => {
        await connectPromise?.catch(ignore);
        if (client?.isReady) await client.ping().catch(unlessReply);
      });
      await Promise.all(pings);
      this.seen = cluster.masters.map(({ host, port }) => ({ host, port }));
      return isFit;
    };
    return { client: cluster as unknown as RedisClient, broken: new Promise(ignore), check };
  }

  /** The nodes of the cluster that answer. */
  private async nodes(): Promise<Address[]> {
    const known = new Map([...this.place.addresses, ...this.seen].map((address) => [nameOf(address), address]));
    const nodes = await this.ask([...known.values()], async (client, address) => {
      expectMode((await client.hello()).mode, 'cluster');
      return address;
    });
    if (nodes.length === 0) throw new Error(`none of ${[...known.keys()].join(', ')} is a node that answers`);
    return nodes;
  }

  /** Asks all servers at once. @returns the answers of those that have one; the log tells of the others */
  private async ask(
    addresses: Address[],
    question: (client: RedisClient, address: Address) => Promise<Address | undefined>,
  ): Promise<Address[]> {
    const answers = addresses.map(async (address) => {
      const client = this.clientOf(address).on('error', ignore);
      try {
        const answer = await within(
          ASK_MS,
          client.connect().then(() => question(client, address)),
        );
        this.failing.delete(nameOf(address));
        return answer;
      } catch (error) {
        this.complain(address, error as Error);
        return undefined;
      } finally {
        client.destroy();
      }
    });
    return (await Promise.all(answers)).filter((answer) => answer !== undefined);
  }

  /** @returns whether this is news */
  private complain(address: Address, { message }: Error): boolean {
    const name = nameOf(address);
    if (this.failing.has(name)) return false;
    this.failing.add(name);
    this.logger.warn(`Redis at ${name} cannot be used: ${message}`);
    return true;
  }

  private clientOf(address: Address, database = 0): RedisClient {
    return this.model.duplicate({ database, socket: { ...this.options.socket, ...address } });
  }
}

const nameOf = ({ host, port }: Address) => `${host}:${port}`;

function expectMode(mode: string, expected: string): void {
  const scheme = mode === 'standalone' ? 'redis' : `redis+${mode}`;
  if (mode !== expected) throw new Error(`it is one for which REDIS_URL begins with ${scheme}://`);
}

/** An error reply is an answer too. */
function unlessReply(error: Error): undefined {
  if (!(error instanceof ErrorReply)) throw error;
}

function ignore(): void {}
