import type { TestDatabase } from '@tidemark/testing'
import pg from 'pg'

/** The SQL that publishes one event, as any program could: in autocommit, everything else by default. */
export function insertSql(table: string): string {
  return `INSERT INTO ${table} (type, payload) VALUES ($1::text, $2::jsonb)`
}

/**
 * The tables that bound what publishing can reach. `plain` has the columns, defaults and primary key of the
 * outbox, and nothing that makes it one; `notifying` is the same with a NOTIFY in each commit, and `locking` with a
 * lock that all publishers share and that is held until the commit, which is another way to keep order.
 */
export async function createPlainTables(database: TestDatabase): Promise<void> {
  for (const table of ['plain', 'notifying', 'locking']) {
    await database.query(`
      CREATE SEQUENCE ${table}_sequence CACHE 1;
      CREATE TABLE ${table} (LIKE tidemark.events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
      ALTER TABLE ${table} ALTER sequence SET DEFAULT nextval('${table}_sequence'),
        ALTER xid SET DEFAULT pg_current_xact_id(), ADD PRIMARY KEY (sequence)`)
  }
  await database.query(`
    CREATE FUNCTION ring() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_notify('bench', '');
      RETURN NULL;
    END $$;
    CREATE TRIGGER ring BEFORE INSERT ON notifying FOR EACH STATEMENT EXECUTE FUNCTION ring();
    CREATE FUNCTION take_turns() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      PERFORM pg_advisory_xact_lock(1);
      RETURN NULL;
    END $$;
    CREATE TRIGGER take_turns BEFORE INSERT ON locking FOR EACH STATEMENT EXECUTE FUNCTION take_turns()`)
}

/** Connections as the library opens them: statements are sent without waiting for the answer to the last one. */
export async function pipeliningClients(url: string, count: number): Promise<pg.Client[]> {
  const config: pg.ClientConfig & { pipeline: boolean } = { connectionString: url, pipeline: true }
  const clients = Array.from({ length: count }, () => new pg.Client(config))
  await Promise.all(clients.map((client) => client.connect()))
  return clients
}

/** Runs `workers` loops of `work` until the time is over; answers how many `work`s were done a second. */
export async function rateOf(
  seconds: number,
  workers: number,
  work: (worker: number) => Promise<unknown>,
): Promise<number> {
  const started = performance.now()
  const end = started + seconds * 1000
  let done = 0
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      while (performance.now() < end) {
        await work(worker)
        done += 1
      }
    }),
  )
  return done / ((performance.now() - started) / 1000)
}
