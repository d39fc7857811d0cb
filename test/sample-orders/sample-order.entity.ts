import { Column, CreateDateColumn, Entity, PrimaryGeneratedColumn, UpdateDateColumn, VersionColumn } from 'typeorm';

@Entity('sample_orders')
export class SampleOrder {
  @PrimaryGeneratedColumn('uuid') id!: string;
  @Column('uuid', { name: 'owner_id' }) ownerId!: string;
  @Column('text') number!: string;
  @Column('text') status!: string;
  @Column('numeric', { precision: 12, scale: 2 }) total!: string;
  @Column('jsonb') lines!: object[];
  @Column('text', { nullable: true }) note!: string | null;
  @Column({ name: 'delivery_at', type: 'timestamptz', precision: 3, nullable: true }) deliveryAt!: Date | null;

  /** For the staff alone: it is not in the schema, so clients never see it. */
  @Column('text', { name: 'internal_note', nullable: true }) internalNote!: string | null;
  @VersionColumn() version!: number;
  @CreateDateColumn({ name: 'created_at', type: 'timestamptz', precision: 3 }) createdAt!: Date;
  @UpdateDateColumn({ name: 'updated_at', type: 'timestamptz', precision: 3 }) updatedAt!: Date;
}
