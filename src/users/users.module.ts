import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { databaseProblem } from '../platform/database/database-problem.js';
import { Background } from '../platform/lifecycle/background.js';
import { FirstAdmin } from './first-admin.js';
import { PasswordsService } from './passwords.service.js';
import { Session } from './session.entity.js';
import { SessionsService } from './sessions.service.js';
import { User } from './user.entity.js';
import { UsersController } from './users.controller.js';
import { UsersService } from './users.service.js';

const HOUR_MS = 3_600_000;

@Module({
  imports: [TypeOrmModule.forFeature([User, Session])],
  controllers: [UsersController],
  providers: [UsersService, PasswordsService, SessionsService, FirstAdmin],
  exports: [UsersService, SessionsService],
})
export class UsersModule {
  constructor(background: Background, sessions: SessionsService) {
    background.every(HOUR_MS, 'removal of expired sessions', () => sessions.removeExpired(), databaseProblem);
  }
}
