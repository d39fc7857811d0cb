import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, UpdateDateColumn, VersionColumn } from 'typeorm';

@Entity('webhooks')
export class Webhook {
  @PrimaryGeneratedColumn('uuid') id!: string;
  /** The table whose changes it gets. */
  @Column('text') of!: string;
  /** The rows whose changes it gets, as the table's feed has it; null for all. */
  @Column('uuid', { nullable: true }) scope!: string | null;
  /** Whose right to read counts. */
  @Column('uuid', { name: 'owner_id' }) ownerId!: string;
  @Column('text') url!: string;
  @Column('boolean', { default: false }) ordered!: boolean;
  @Column('text', { default: 'on' }) state!: 'on' | 'failing' | 'off';
  @Column({ type: 'timestamptz', precision: 3, default: () => 'now()' }) since!: Date;
  @Column('text', { name: 'last_error', nullable: true }) lastError!: string | null;
  /** The secret is made of it and of the application's, so that a copy of the database has none. */
  @Column('uuid', { default: () => 'gen_random_uuid()' }) seed!: string;
  /** The one before, with which deliveries are signed too for a day. */
  @Column('uuid', { name: 'old_seed', nullable: true }) oldSeed!: string | null;
  @Column({ name: 'rotated_at', type: 'timestamptz', precision: 3, nullable: true }) rotatedAt!: Date | null;
  /** How far the changes are delivered. */
  @Column('text', { default: () => 'last_tick()' }) position!: string;
  /** Failures in a row, and the time before which no other attempt is made. */
  @Column('integer', { default: 0 }) failures!: number;
  @Column({ name: 'retry_at', type: 'timestamptz', default: () => "'-infinity'" }) retryAt!: Date;
  /** Events that wait as jobs of their own. */
  @Column('integer', { default: 0 }) waiting!: number;
  @VersionColumn() version!: number;
  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 }) createdAt!: Date;
  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3 }) updatedAt!: Date;
}
