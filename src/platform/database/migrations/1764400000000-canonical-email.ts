import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Adds a column for the canonical form of an email, by which users are found: from now on the app computes it instead
 * of PostgreSQL. The next migration fills it in for existing users, before the build that computes it starts.
 */
export class CanonicalEmail1764400000000 implements MigrationInterface {
  name = 'CanonicalEmail1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      SET LOCAL lock_timeout = '2s';
      ALTER TABLE users ADD COLUMN canonical_email text COLLATE "C";
      ALTER TABLE users ADD CONSTRAINT users_canonical_email_there NOT NULL canonical_email NOT VALID;
      -- For the previous release, which does not write it. Registered emails are ASCII, for which both forms are equal.
      CREATE FUNCTION make_canonical_email() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          NEW.canonical_email := pg_catalog.lower(NEW.email COLLATE "C");
          RETURN NEW;
        END
      $$;
      CREATE TRIGGER users_canonical_email_left_out BEFORE INSERT OR UPDATE ON users
        FOR EACH ROW WHEN (NEW.canonical_email IS NULL) EXECUTE FUNCTION make_canonical_email();
      CREATE TRIGGER users_canonical_email_left_behind BEFORE UPDATE OF email ON users
        FOR EACH ROW WHEN (NEW.email <> OLD.email AND NEW.canonical_email = OLD.canonical_email)
        EXECUTE FUNCTION make_canonical_email();
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TRIGGER users_canonical_email_left_out ON users;
      DROP TRIGGER users_canonical_email_left_behind ON users;
      DROP FUNCTION make_canonical_email;
      ALTER TABLE users DROP COLUMN canonical_email;
    `);
  }
}
