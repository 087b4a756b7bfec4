/** What can go wrong with connecting to the database and migrating it. */
export const databaseCodes = {
  TIDEMARK_INVALID_SCHEMA_NAME: {
    summary: 'The name given for the Postgres schema is not a plain identifier.',
    example: `"no-such" cannot name Tidemark's schema`,
    remedy:
      'Use letters, digits and underscores, starting with a letter or underscore, at most 40 characters.',
  },
  TIDEMARK_CONNECTION_FAILED: {
    summary: 'The server could not be reached, or it refused the connection.',
    example: 'connect ECONNREFUSED 127.0.0.1:5432',
    remedy:
      'Check host, port, user, password and database, and that the server accepts connections.',
  },
  TIDEMARK_NO_CONNECTION: {
    summary:
      "All of the pool's connections were in use for too long, or the server did not answer.",
    example: "none of the pool's 10 connections became free within 10000 ms",
    remedy: 'Raise `maxConnections`, keep transactions shorter, or limit how many run at once.',
  },
  TIDEMARK_MISSING_PRIVILEGE: {
    summary: 'The database user may not do what was asked.',
    example: 'permission denied for database app',
    remedy:
      'Run the command as a user who owns the schema or may create it, or grant the privilege that the message names.',
  },
  TIDEMARK_MIGRATION_REQUIRED: {
    summary: "Tidemark's tables are missing or older than this version of the library needs.",
    example: 'schema "tidemark" has no Tidemark tables',
    remedy: 'Run `tidemark migrate up` before the processes that use this version start.',
  },
  TIDEMARK_UNSUPPORTED_ENCODING: {
    summary:
      'The database has another encoding than UTF8: what JavaScript, JSON and other programs write could not be stored in it, or would be stored as something else.',
    example: 'the database "app" is encoded in LATIN1, not in UTF8',
    remedy:
      "Make a database with `CREATE DATABASE app2 ENCODING 'UTF8' TEMPLATE template0`, with a locale that allows it, and move your tables with `pg_dump` and `pg_restore`: an encoding is chosen once.",
  },
  TIDEMARK_SCHEMA_TOO_NEW: {
    summary:
      'The database was migrated by a newer version, with a breaking migration that this version does not know.',
    example:
      'schema "tidemark" has the breaking migration 12 narrower, which this version does not know',
    remedy:
      'Deploy a version of Tidemark that knows the migration; this one refuses to start rather than damage data.',
  },
  TIDEMARK_INVARIANT_BROKEN: {
    summary:
      "Something about Tidemark's tables was changed so that events could be skipped or lost: a sequence, a default, logging or a trigger.",
    example: '"tidemark".events_sequence has CACHE 2 instead of 1',
    remedy: 'Run `tidemark doctor`: it names each such change and the statement that mends it.',
  },
  TIDEMARK_MIGRATION_CHANGED: {
    summary: 'A migration that was applied differs from the one that this version carries.',
    example:
      'migration 1 outbox was applied to schema "tidemark" with another text than this version carries',
    remedy:
      'Never edit an applied migration. Restore the released package, or find out who changed the recorded checksum.',
  },
  TIDEMARK_MIGRATION_FAILED: {
    summary: 'A migration raised an error and was rolled back.',
    example: 'relation "events" already exists',
    remedy: 'Read the cause; nothing of the failed migration was kept, the ones before it were.',
  },
  TIDEMARK_STANDBY: {
    summary: 'The outbox was to be read in order on a standby.',
    example: 'the server is a standby: transactions that publish cannot be seen there',
    remedy:
      'Read it on the primary. A standby serves everything else: streams, projections, and queries of your own.',
  },
} as const
