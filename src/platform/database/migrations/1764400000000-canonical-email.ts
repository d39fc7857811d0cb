import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The form of an address that a user is found by stands beside it, and is no longer PostgreSQL's to make. The build that
 * makes it begins when the next migration has filled it in for those who are there.
 */
export class CanonicalEmail1764400000000 implements MigrationInterface {
  name = 'CanonicalEmail1764400000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      SET LOCAL lock_timeout = '2s';
      ALTER TABLE users ADD COLUMN canonical_email text COLLATE "C";
      ALTER TABLE users ADD CONSTRAINT users_canonical_email_there NOT NULL canonical_email NOT VALID;
      -- The release before does not know it. Registered addresses are ASCII, of which this is the same form.
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
