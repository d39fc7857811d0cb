import {
  BeforeInsert,
  BeforeUpdate,
  Column,
  CreateDateColumn,
  Entity,
  PrimaryGeneratedColumn,
  UpdateDateColumn,
  VersionColumn,
} from 'typeorm';
import type { Role } from '../platform/http/caller.js';
import { fold } from './fold.js';

@Entity('users')
export class User {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('text') email!: string;

  /** The unique form of the email, by which users are found. */
  @Column('text', { name: 'canonical_email' }) canonicalEmail!: string;
  @Column('text') name!: string;
  @Column('text') role!: Role;
  @Column('boolean') disabled!: boolean;
  @Column('text', { name: 'password_hash' }) passwordHash!: string;
  @VersionColumn() version!: number;
  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 }) createdAt!: Date;
  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3 }) updatedAt!: Date;

  @BeforeInsert()
  @BeforeUpdate()
  protected foldEmail(): void {
    this.canonicalEmail = fold(this.email);
  }
}
