import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Times that cursors or clients see are timestamptz(3), since JavaScript has milliseconds: with microseconds cut off, a
 * keyset list would skip rows.
 */
export class Initial1764000000000 implements MigrationInterface {
  name = 'Initial1764000000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE users (
        id            uuid PRIMARY KEY DEFAULT uuidv7(),
        email         text NOT NULL,
        name          text NOT NULL,
        role          text NOT NULL DEFAULT 'user' CONSTRAINT users_role CHECK (role IN ('user', 'admin')),
        disabled      boolean NOT NULL DEFAULT false,
        password_hash text NOT NULL,
        version       integer NOT NULL DEFAULT 1,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        updated_at    timestamptz(3) NOT NULL DEFAULT now()
      );
      -- An email is unique regardless of its case; text_pattern_ops serves searches by prefix.
      CREATE UNIQUE INDEX users_email ON users (lower(email) text_pattern_ops);
      CREATE INDEX users_newest ON users (created_at DESC, id DESC);

      -- A session is a family of refresh tokens, of which only the one of the current generation is valid.
      CREATE TABLE sessions (
        id         uuid PRIMARY KEY DEFAULT uuidv7(),
        user_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        seed       bytea NOT NULL,
        generation integer NOT NULL DEFAULT 1,
        rotated_at timestamptz(3) NOT NULL DEFAULT now(),
        expires_at timestamptz(3) NOT NULL
      );
      CREATE INDEX sessions_user ON sessions (user_id);
      CREATE INDEX sessions_expiry ON sessions (expires_at);

      CREATE TABLE collections (
        id          uuid PRIMARY KEY DEFAULT uuidv7(),
        name        text NOT NULL,
        visibility  text NOT NULL CONSTRAINT collections_visibility CHECK (visibility IN ('private', 'public')),
        description text,
        owner_id    uuid NOT NULL REFERENCES users ON DELETE CASCADE,
        version     integer NOT NULL DEFAULT 1,
        created_at  timestamptz(3) NOT NULL DEFAULT now(),
        updated_at  timestamptz(3) NOT NULL DEFAULT now()
      );
      CREATE UNIQUE INDEX collections_name ON collections (name);
      CREATE INDEX collections_owner ON collections (owner_id, name);
      CREATE INDEX collections_public ON collections (name) WHERE visibility = 'public';

      -- No foreign key: checking it for each row would slow down bulk loads, and a collection's
      -- records are removed later than the collection itself (see removals).
      CREATE TABLE records (
        id            uuid PRIMARY KEY DEFAULT uuidv7(),
        collection_id uuid NOT NULL,
        data          jsonb NOT NULL,
        occurred_at   timestamptz(3) NOT NULL DEFAULT now(),
        version       integer NOT NULL DEFAULT 1,
        created_at    timestamptz(3) NOT NULL DEFAULT now(),
        updated_at    timestamptz(3) NOT NULL DEFAULT now()
      );
      CREATE INDEX records_newest ON records (collection_id, occurred_at DESC, id DESC);
      CREATE INDEX records_data ON records USING gin (data jsonb_path_ops);

      -- Deleted collections whose records are still to be removed.
      CREATE TABLE removals (
        collection_id uuid PRIMARY KEY,
        removed_at    timestamptz(3) NOT NULL DEFAULT now()
      );
      CREATE FUNCTION remember_removal() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          INSERT INTO removals (collection_id) VALUES (OLD.id) ON CONFLICT DO NOTHING;
          RETURN NULL;
        END
      $$;
      CREATE TRIGGER collections_removed AFTER DELETE ON collections
        FOR EACH ROW EXECUTE FUNCTION remember_removal();
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE removals, records, collections, sessions, users;
      DROP FUNCTION remember_removal;
    `);
  }
}
