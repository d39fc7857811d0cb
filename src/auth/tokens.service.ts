import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { calculateJwkThumbprint, exportJWK, type JWK, type JWTHeaderParameters, jwtVerify, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import { entries } from '../platform/bounds.js';
import { CONFIG } from '../platform/config.token.js';
import type { Role } from '../platform/http/caller.js';
import type { AuthConfig } from './auth.settings.js';

/** How far the clocks of issuer and verifier may differ. */
const SKEW_S = 30;
const TYPE = 'at+jwt';
const TOKENS_REMEMBERED = 20_000;
const SESSION_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Signs and verifies access tokens (RFC 9068), and publishes the keys. */
@Injectable()
export class TokensService implements OnModuleInit {
  /**
   * Verified tokens, since checking a signature takes a quarter of a millisecond. The key is the token's end, since
   * hashing a whole token takes most of a microsecond.
   */
  private readonly verified = new LRUCache<string, { token: string; sessionId: string; until: number }>(
    entries(TOKENS_REMEMBERED),
  );
  private readonly keys = new Map<string, { key: KeyObject; algorithm: string; jwk: JWK }>();
  private signingKey!: KeyObject;
  private signingKeyId!: string;
  readonly lifeSeconds: number;

  constructor(@Inject(CONFIG) private readonly config: AuthConfig) {
    this.lifeSeconds = config.ACCESS_TOKEN_TTL_S;
  }

  async onModuleInit(): Promise<void> {
    this.signingKey = createPrivateKey(this.config.JWT_PRIVATE_KEY);
    this.signingKeyId = await this.accept(createPublicKey(this.signingKey));
    for (const pem of this.config.JWT_OTHER_PUBLIC_KEYS ?? []) await this.accept(createPublicKey(pem));
  }

  sign(user: { id: string; role: Role }, sessionId: string): Promise<string> {
    const alg = this.keys.get(this.signingKeyId)?.algorithm as string;
    return new SignJWT({ role: user.role, sid: sessionId })
      .setProtectedHeader({ alg, typ: TYPE, kid: this.signingKeyId })
      .setIssuer(this.config.PUBLIC_URL)
      .setAudience(this.config.JWT_AUDIENCE)
      .setSubject(user.id)
      .setIssuedAt()
      .setExpirationTime(`${this.lifeSeconds}s`)
      .sign(this.signingKey);
  }

  /** @returns the id of the token's session, without a promise if it is known; undefined when the token is invalid */
  verify(token: string): string | undefined | Promise<string | undefined> {
    const known = this.verified.get(endOf(token));
    if (known?.token !== token) return this.check(token);
    return Date.now() < known.until ? known.sessionId : undefined;
  }

  private async check(token: string): Promise<string | undefined> {
    if (!token.split('.').every(isCanonical)) return undefined;
    try {
      const { payload } = await jwtVerify(token, (header) => this.keyFor(header), {
        issuer: this.config.PUBLIC_URL,
        audience: this.config.JWT_AUDIENCE,
        typ: TYPE,
        clockTolerance: SKEW_S,
        requiredClaims: ['sub', 'sid', 'exp'],
      });
      if (typeof payload.sid !== 'string' || !SESSION_ID.test(payload.sid)) return undefined;
      const until = ((payload.exp as number) + SKEW_S) * 1000;
      this.verified.set(endOf(token), { token, sessionId: payload.sid, until });
      return payload.sid;
    } catch {
      return undefined;
    }
  }

  /** The published keys, as a JWK set. */
  jwks(): { keys: JWK[] } {
    return { keys: [...this.keys.values()].map(({ jwk }) => jwk) };
  }

  /** The key decides the algorithm, never the token. */
  private keyFor({ kid, alg }: JWTHeaderParameters): KeyObject {
    const known = this.keys.get(kid ?? '');
    if (known?.algorithm !== alg) throw new Error('unknown key');
    return known.key;
  }

  private async accept(key: KeyObject): Promise<string> {
    const algorithm = key.asymmetricKeyType === 'ed25519' ? 'EdDSA' : 'ES256';
    const jwk = await exportJWK(key);
    const kid = await calculateJwkThumbprint(jwk);
    this.keys.set(kid, { key, algorithm, jwk: { ...jwk, kid, alg: algorithm, use: 'sig' } });
    return kid;
  }
}

/** Enough characters to be unique. A token with the end of another would just be checked again. */
const endOf = (token: string) => token.slice(-32);

/** Decoding ignores spare bits, invalid characters and padding, so one signature would have many spellings. */
const isCanonical = (part: string) => Buffer.from(part, 'base64url').toString('base64url') === part;
