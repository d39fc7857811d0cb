import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** A family of refresh tokens that began with one sign-in. Its end is the end of all tokens made in it. */
@Entity('sessions')
export class Session {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('uuid', { name: 'user_id' }) userId!: string;

  /** Random; with the application's secret it makes the family's refresh tokens. */
  @Column({ type: 'bytea' }) seed!: Buffer;

  /** Counts the refreshes: only this generation's token is good. */
  @Column({ type: 'integer' }) generation!: number;
  @Column({ type: 'timestamptz', name: 'rotated_at', precision: 3 }) rotatedAt!: Date;
  @Column({ type: 'timestamptz', name: 'expires_at', precision: 3 }) expiresAt!: Date;
}
