import { Injectable } from '@nestjs/common';
import { Problem } from '../platform/http/problem.js';
import type { Owners } from '../platform/throttle/limited.js';
import type { Turn } from '../users/passwords.service.js';
import { type Continued, SessionsService } from '../users/sessions.service.js';
import { UsersService } from '../users/users.service.js';
import type { Credentials, RefreshToken, Tokens } from './auth.schema.js';
import { TokensService } from './tokens.service.js';

/** Signs users in and refreshes their tokens. */
@Injectable()
export class AuthService implements Owners {
  constructor(
    private readonly users: UsersService,
    private readonly sessions: SessionsService,
    private readonly tokens: TokensService,
  ) {}

  /** @throws Problem invalid-credentials, which does not tell what was wrong */
  async login({ email, password }: Credentials, turn: Turn): Promise<Tokens> {
    const user = await this.users.authenticate(email, password, turn);
    const tokens = user && (await this.sessions.begin(user, (begun) => this.issue(begun)));
    if (!tokens) throw new Problem('invalid-credentials', 'No user has this email and this password.');
    return tokens;
  }

  /** @throws Problem invalid-token when the refresh token is used, expired or forged, or its session has ended */
  async refresh(refreshToken: string): Promise<Tokens> {
    const tokens = await this.sessions.refresh(refreshToken, (continued) => this.issue(continued));
    if (!tokens) throw new Problem('invalid-token', 'The refresh token is invalid or expired: sign in again.');
    return tokens;
  }

  /** The key for the rate limit of a refresh: the token's session. */
  async ownerOf(body: unknown): Promise<string | undefined> {
    const token = (body as Partial<RefreshToken> | null | undefined)?.refreshToken as unknown;
    return typeof token === 'string' ? this.sessions.sessionOf(token) : undefined;
  }

  private async issue({ user, sessionId, refreshToken }: Continued): Promise<Tokens> {
    return {
      accessToken: await this.tokens.sign(user, sessionId),
      tokenType: 'Bearer',
      expiresIn: this.tokens.lifeSeconds,
      refreshToken,
    };
  }
}
