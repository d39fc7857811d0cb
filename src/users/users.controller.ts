import { CacheKey } from '@nestjs/cache-manager';
import { Body, Controller, Delete, Get, Headers, Param, Patch, Query, Req, Res } from '@nestjs/common';
import { ApiConsumes, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { AtEdge } from '../platform/edge/at-edge.js';
import type { Answer } from '../platform/http/answer.js';
import { AdminOnly, badToken, type Caller, CurrentCaller, SelfOrAdmin } from '../platform/http/caller.js';
import { Operation } from '../platform/http/operation.js';
import { resourceId } from '../platform/resource/definition.js';
import { pageAnswer, RequestUrl } from '../platform/resource/page.js';
import { Kept } from '../platform/resource/routes.js';
import { ExactLimits } from '../platform/throttle/exact-limits.js';
import type { Attempt } from './passwords.service.js';
import * as schema from './user.schema.js';
import { UsersService } from './users.service.js';

@ApiTags('users')
@Controller(schema.USERS.path)
export class UsersController {
  constructor(
    private readonly users: UsersService,
    private readonly limits: ExactLimits,
  ) {}

  @Get()
  @AtEdge()
  @AdminOnly()
  @Operation('listUsers', 'List users, newest first', {
    answer: 'A page of users.',
    body: schema.userPage,
    problems: ['forbidden'],
  })
  async list(
    @RequestUrl() url: string,
    @Query({ schema: schema.userQuery }) query: schema.UserQuery,
    @CurrentCaller() caller: Caller,
  ): Promise<Answer> {
    return pageAnswer(url, await this.users.list(query, caller.id), schema.PRIVATE);
  }

  @Get('me')
  @CacheKey((context) => schema.ownName(context.switchToHttp().getRequest().caller.id))
  @Operation('getMe', 'Read yourself', { answer: 'Your user.', body: schema.userSchema })
  async me(@CurrentCaller() caller: Caller): Promise<Answer> {
    return this.users.read(caller.id, badToken);
  }

  @Get(':id')
  @SelfOrAdmin()
  @Kept(schema.USERS)
  @Operation('getUser', 'Read a user: yourself, or anyone as an admin', {
    answer: 'The user.',
    body: schema.userSchema,
    problems: ['forbidden'],
  })
  async get(@Param('id', { schema: resourceId }) id: string): Promise<Answer> {
    return this.users.read(id);
  }

  @Patch(':id')
  @SelfOrAdmin()
  @ApiConsumes('application/merge-patch+json')
  @Operation('updateUser', 'Change a user: yourself, or anyone as an admin', {
    answer: 'The changed user.',
    body: schema.userSchema,
    problems: ['conflict'],
  })
  async update(
    @Req() { raw }: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: resourceId }) id: string,
    @Body({ schema: schema.userPatchSchema }) patch: schema.UserPatch,
    @Headers('if-match') ifMatch?: string,
  ): Promise<Answer> {
    const trial: Attempt['trial'] = async (user) => {
      const limits = this.limits.ofCurrentPassword(raw, user);
      await this.limits.count(limits, reply);
      return () => this.limits.succeed(limits);
    };
    return this.users.update(caller, id, patch, ifMatch, { of: 'change', by: caller.id, place: raw.place, trial });
  }

  @Delete(':id')
  @SelfOrAdmin()
  @Operation('deleteUser', 'Delete a user: yourself, or anyone as an admin', {
    description: "Deletes the user's sessions, collections and records too.",
    answer: 'The user is deleted.',
    problems: ['conflict'],
  })
  async remove(
    @CurrentCaller() caller: Caller,
    @Param('id', { schema: resourceId }) id: string,
    @Headers('if-match') ifMatch?: string,
  ): Promise<void> {
    await this.users.remove(caller, id, ifMatch);
  }
}
