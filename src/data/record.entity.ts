import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, UpdateDateColumn, VersionColumn } from 'typeorm';

/** Not named Record, which is a built-in type of TypeScript. */
@Entity('records')
export class DataRecord {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('uuid', { name: 'collection_id' }) collectionId!: string;
  @Column('jsonb') data!: Record<string, unknown>;
  @Column({ name: 'occurred_at', type: 'timestamptz', precision: 3, default: () => 'now()' }) occurredAt!: Date;
  @VersionColumn() version!: number;
  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 }) createdAt!: Date;
  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3 }) updatedAt!: Date;
}
