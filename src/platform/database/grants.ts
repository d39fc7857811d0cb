import type { DataSource } from 'typeorm';

/**
 * The GRANT statements for the rights that the app's role lacks: rows of all tables, those of jobs too, but only reading of
 * `migrations`. A role that the database does not know, as a pooler may map one, gets none.
 */
const LACKING = `
  WITH role AS (SELECT rolname AS name, oid FROM pg_roles WHERE rolname = $1),
  wanted AS (
    SELECT c.oid, unnest(CASE WHEN relkind = 'S' THEN '{USAGE}'::text[] WHEN relname = 'migrations' THEN '{SELECT}'
      ELSE '{SELECT,INSERT,UPDATE,DELETE}' END) AS privilege, relkind
    FROM pg_class c
    WHERE relnamespace IN (current_schema()::regnamespace, to_regnamespace('pgboss')) AND relkind IN ('r', 'p', 'S'))
  SELECT format('GRANT %s ON %s %s TO %I', string_agg(privilege, ', '), CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
    wanted.oid::regclass, name) AS grant
  FROM wanted, role
  WHERE NOT CASE relkind WHEN 'S' THEN has_sequence_privilege(role.oid, wanted.oid, privilege)
    ELSE has_table_privilege(role.oid, wanted.oid, privilege) END
  GROUP BY wanted.oid, relkind, name
  UNION ALL SELECT format('GRANT USAGE ON SCHEMA pgboss TO %I', name)
  FROM role WHERE NOT has_schema_privilege(oid, to_regnamespace('pgboss'), 'USAGE')`;

/** Lets the role of DATABASE_URL use tables that the migrating role owns, without any right to change the schema. */
export async function grantTo(dataSource: DataSource, role: string): Promise<void> {
  const lacking: { grant: string }[] = await dataSource.query(LACKING, [role]);
  for (const { grant } of lacking) await dataSource.query(grant);
}
