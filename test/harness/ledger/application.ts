import type pg from 'pg'
import { defineApp, migrateUp, silentLogger, type App, type Logger } from 'tidemark'
import * as events from './events.ts'
import { allTicks, lastTicks, settle, story, tick, wander } from './jobs.ts'
import { listenersOf, second } from './listeners.ts'
import { projectionsOf } from './projections.ts'

/** The schema of the other install. */
const secondSchema = 'second'

const jobs = { settle, story, wander, tick, allTicks, lastTicks }
const { noted, purse: _, ...ledgerEvents } = events

/** Where an application connects. */
export interface Connections {
  readonly url: string
  /** Defaults to 10. */
  readonly maxConnections?: number
  readonly logger?: Logger
}

/** The application in one of its releases. */
export function ledgerApp(release: number, connections: Connections): App {
  return defineApp({
    ...optionsOf(connections),
    modules: [{ ...ledgerEvents, ...jobs, ...listenersOf(release), ...projectionsOf(release) }],
  })
}

/** The application of the other install. */
export function secondApp(connections: Connections): App {
  return defineApp({
    ...optionsOf(connections),
    schema: secondSchema,
    modules: [{ noted, second }],
  })
}

function optionsOf({ url, maxConnections = 10, logger = silentLogger }: Connections) {
  return { connectionString: url, maxConnections, logger }
}

/** Makes the tables of the application, and the other install. */
export async function makeTables(pool: pg.Pool, url: string, accounts: number): Promise<void> {
  await pool.query(`
    CREATE TABLE accounts (id text PRIMARY KEY, cents bigint NOT NULL DEFAULT 0);
    CREATE TABLE transfers (op text PRIMARY KEY, sender text NOT NULL, receiver text NOT NULL, cents bigint NOT NULL);
    CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      listener text NOT NULL, sequence bigint NOT NULL, key text);
    CREATE INDEX ON effects (listener, sequence);
    CREATE TABLE job_effects (what text NOT NULL, job text NOT NULL, op text NOT NULL);
    CREATE TABLE healed (at timestamptz NOT NULL);
    CREATE TABLE entries (sequence bigint NOT NULL, op text NOT NULL, release integer NOT NULL);
    CREATE TABLE account_rows (account text PRIMARY KEY, count integer NOT NULL, digest numeric NOT NULL);
    CREATE TABLE unrelated (id integer PRIMARY KEY);
    INSERT INTO accounts (id) SELECT 'account-' || n FROM generate_series(1, ${accounts}) AS n`)
  await migrateUp({ connectionString: url, schema: secondSchema })
}
