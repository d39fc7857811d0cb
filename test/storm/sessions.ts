import type { Client } from '../support/client.js';
import { type Answer, Load } from '../support/load.js';
import { pause } from '../support/process.js';

/** The time for which a spent refresh token is accepted once more, less a margin for a slow test. */
const TOLERATED_MS = 8000;
/** The time for which an ended session may still be accepted (SESSION_CHECK_MS with its jitter, and a margin for a slow test). */
const BELIEVED_MS = 5000;

const isAnswer = ({ status }: Answer) => status !== 0 && status !== 503;

/** Users who sign in, refresh their tokens and sign out at either replica, and check the promises about sessions. */
export class Sessions extends Load {
  ended = 0;

  constructor(
    users: { email: string; password: string }[],
    private readonly replicas: [Client, Client],
    /** The pause between two refreshes. */
    private readonly paceMs: number,
  ) {
    super();
    this.lanes = users.map((user) => this.walk(user));
  }

  private async walk(user: { email: string; password: string }): Promise<void> {
    while (!this.isOver) {
      let tokens = (await this.sure('POST', '/api/v1/auth/login', user)).answer?.body;
      if (!tokens) return;
      for (let turn = 0; turn < 5 && tokens?.accessToken && !this.isOver; turn++) {
        await this.look(tokens, 200);
        await pause(this.paceMs);
        tokens = await this.refresh(tokens);
      }
      if (tokens?.accessToken && !this.isOver) await this.end(tokens);
    }
  }

  private async refresh({ refreshToken }: Client['tokens'] & object) {
    const { answer, tookMs } = await this.sure('POST', '/api/v1/auth/refresh', { refreshToken });
    if (!answer) return undefined;
    // The first try may have spent the token; after the tolerated time, its reuse counts as theft.
    if (answer.status === 401 && tookMs > TOLERATED_MS) return undefined;
    if (answer.status !== 200) this.wrong(`a good refresh token was answered with ${answer.status} after ${tookMs} ms`);
    return answer.body;
  }

  private async end(tokens: Client['tokens'] & object): Promise<void> {
    const { answer } = await this.sure('POST', '/api/v1/auth/logout', { refreshToken: tokens.refreshToken });
    if (answer?.status !== 204) return;
    this.ended++;
    const { refreshToken } = tokens;
    for (const client of this.replicas) {
      const again = await this.ask(client, 'POST', '/api/v1/auth/refresh', { refreshToken }, {}, true);
      if (isAnswer(again) && again.status !== 401)
        this.wrong(`a refresh token was answered with ${again.status} after its session ended`);
    }
    await pause(BELIEVED_MS);
    await this.look(tokens, 401);
  }

  /** Checks the access token at both replicas. */
  private async look({ accessToken }: Client['tokens'] & object, status: 200 | 401): Promise<void> {
    for (const client of this.replicas) {
      const headers = { authorization: `Bearer ${accessToken}` };
      const answer = await this.ask(client, 'GET', '/api/v1/users/me', undefined, headers, true);
      if (isAnswer(answer) && answer.status !== status)
        this.wrong(`an access token was answered with ${answer.status} in place of ${status} at ${client.url}`);
    }
  }

  /** Sends the request to both replicas in turn until there is an answer. */
  private async sure(method: string, path: string, body: unknown): Promise<{ answer?: Answer; tookMs: number }> {
    const begun = Date.now();
    for (let tries = Math.floor(Math.random() * 2); !this.isOver; tries++) {
      const answer = await this.ask(this.replicas[tries % 2] as Client, method, path, body, {}, true);
      if (isAnswer(answer)) return { answer, tookMs: Date.now() - begun };
      await pause(100);
    }
    return { tookMs: 0 };
  }
}
