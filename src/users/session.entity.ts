import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** A family of refresh tokens that began with one sign-in. When the session ends, all its tokens become invalid. */
@Entity('sessions')
export class Session {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('uuid', { name: 'user_id' }) userId!: string;

  /** Random bytes, which sign the family's refresh tokens together with the application's secret. */
  @Column({ type: 'bytea' }) seed!: Buffer;

  /** Counts the refreshes. Only the token of this generation is valid. */
  @Column({ type: 'integer' }) generation!: number;
  @Column({ type: 'timestamptz', name: 'rotated_at', precision: 3 }) rotatedAt!: Date;
  @Column({ type: 'timestamptz', name: 'expires_at', precision: 3 }) expiresAt!: Date;
}
