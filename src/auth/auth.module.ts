import { Module } from '@nestjs/common';
import { Edge } from '../platform/edge/edge.js';
import { LastingRequests } from '../platform/http/while-allowed.js';
import { UsersModule } from '../users/users.module.js';
import { AuthController, JwksController } from './auth.controller.js';
import { AuthGuard } from './auth.guard.js';
import { AuthService } from './auth.service.js';
import { TokensService } from './tokens.service.js';

@Module({
  imports: [UsersModule],
  controllers: [AuthController, JwksController],
  providers: [AuthService, TokensService, AuthGuard],
  exports: [AuthGuard, TokensService],
})
export class AuthModule {
  constructor(edge: Edge, lasting: LastingRequests, guard: AuthGuard) {
    // First, since other checks may need the caller.
    lasting.rechecks.unshift((context) => guard.recheck(context));
    edge.callers = guard;
  }
}
