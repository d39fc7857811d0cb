import { Body, Controller, Get, Post, Req } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { SkipThrottle } from '@nestjs/throttler';
import type { FastifyRequest } from 'fastify';
import { Answer } from '../platform/http/answer.js';
import { Anonymous } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { Priority } from '../platform/overload/priority.js';
import { Limited } from '../platform/throttle/limited.js';
import { Throttle } from '../platform/throttle/throttle.js';
import type { Turn } from '../users/passwords.service.js';
import { SessionsService } from '../users/sessions.service.js';
import { type NewUser, newUserSchema, userSchema } from '../users/user.schema.js';
import { UsersService } from '../users/users.service.js';
import type { Credentials, RefreshToken } from './auth.schema.js';
import { credentialsSchema, emailIn, jwksSchema, refreshTokenSchema, tokensSchema } from './auth.schema.js';
import { AuthService } from './auth.service.js';
import { TokensService } from './tokens.service.js';

const SECRET = { headers: { 'cache-control': 'no-store' } };

@ApiTags('auth')
@Controller('api/v1/auth')
export class AuthController {
  constructor(
    private readonly auth: AuthService,
    private readonly users: UsersService,
    private readonly sessions: SessionsService,
    private readonly throttle: Throttle,
  ) {}

  @Post('register')
  @Anonymous()
  @Priority('login')
  @Limited('register')
  @Operation('register', 'Register a user', {
    answer: 'The new user.',
    body: userSchema,
    status: 201,
    problems: ['conflict'],
  })
  async register(@Req() request: FastifyRequest, @Body({ schema: newUserSchema }) body: NewUser): Promise<Answer> {
    return this.users.create(body, this.turn('register', request));
  }

  @Post('login')
  @Anonymous()
  @Priority('login')
  @Limited('login', { emailIn })
  @Operation('login', 'Sign in', { answer: 'A pair of tokens.', body: tokensSchema, problems: ['invalid-credentials'] })
  async login(@Req() request: FastifyRequest, @Body({ schema: credentialsSchema }) body: Credentials): Promise<Answer> {
    return new Answer(await this.auth.login(body, this.turn('login', request)), SECRET);
  }

  @Post('refresh')
  @Anonymous()
  @Limited('refresh', { owners: AuthService })
  @Operation('refresh', 'Exchange a refresh token for the next pair of tokens', {
    description:
      'Using a refresh token again ends its session. Only the one before the current is accepted for another 10 s, since two tabs may refresh at once.',
    answer: 'The next pair of tokens.',
    body: tokensSchema,
  })
  async refresh(@Body({ schema: refreshTokenSchema }) { refreshToken }: RefreshToken): Promise<Answer> {
    return new Answer(await this.auth.refresh(refreshToken), SECRET);
  }

  @Post('logout')
  @Anonymous()
  @Operation('logout', 'End the session of a refresh token', { answer: 'The session has ended, if there was one.' })
  async logout(@Body({ schema: refreshTokenSchema }) { refreshToken }: RefreshToken): Promise<void> {
    await this.sessions.end(refreshToken);
  }

  private turn(of: Turn['of'], { raw }: FastifyRequest): Turn {
    return { of, by: this.throttle.addressOf(raw), place: raw.place };
  }
}

@ApiTags('auth')
@SkipThrottle()
@Controller('.well-known/jwks.json')
export class JwksController {
  constructor(private readonly tokens: TokensService) {}

  @Get()
  @Anonymous()
  @Operation('getJwks', "Read the public keys for this API's access tokens", { answer: 'A JWK set.', body: jwksSchema })
  jwks(): Answer {
    return new Answer(this.tokens.jwks(), { headers: { 'cache-control': 'public, max-age=300' } });
  }
}
