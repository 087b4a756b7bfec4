import { createHash } from 'node:crypto'
import type pg from 'pg'
import { migrateUp, migrationSql } from 'tidemark'
import { onServer } from './on-server.ts'

/** What every test database starts with, beside Tidemark's tables. Made once for each server. */
export interface DatabaseTemplate {
  /** Changes whenever `prepare` would do something else: a version, or a hash of the DDL it runs. */
  readonly key: string
  /** Creates tables and rows in the database that `connectionString` names. */
  readonly prepare: (connectionString: string) => Promise<void>
}

/**
 * Makes the migrated database that test databases are cloned from, unless it is there.
 *
 * Any number of processes may ask at once: one makes it, the others wait. It gets its name when it is
 * complete, and then accepts no connections, since one would stop it from being cloned.
 */
export async function ensureTemplate(
  serverUrl: string,
  schema: string,
  template: DatabaseTemplate | undefined,
): Promise<void> {
  const name = templateName(schema, template)
  await onServer(serverUrl, async (client) => {
    // A session lock: CREATE DATABASE can't run in a transaction.
    await client.query('select pg_advisory_lock(hashtextextended($1, 0))', [name])
    try {
      const found = await client.query('select from pg_database where datname = $1', [name])
      if (found.rowCount === 0) await make(client, serverUrl, name, schema, template)
    } finally {
      await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [name])
    }
  })
}

/** The name of the database that a template is made as: it depends on the migrations and on the template's key. */
export function templateName(schema: string, template: DatabaseTemplate | undefined): string {
  const hash = createHash('sha256')
  for (const part of [migrationSql({ schema }), template?.key ?? '']) {
    hash.update(`${part.length}:${part}`)
  }
  return `tidemark_template_${hash.digest('hex').slice(0, 16)}`
}

async function make(
  client: pg.Client,
  serverUrl: string,
  name: string,
  schema: string,
  template: DatabaseTemplate | undefined,
): Promise<void> {
  const draft = `${name}_draft`
  // A run that was killed half-way leaves one.
  await client.query(`drop database if exists ${draft} with (force)`)
  await client.query(`create database ${draft}`)
  const connectionString = databaseUrl(serverUrl, draft)
  await migrateUp({ connectionString, schema })
  await template?.prepare(connectionString)
  await client.query(`alter database ${draft} with allow_connections false`)
  // Whoever prepared it may still be hanging up.
  await client.query(
    'select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1',
    [draft],
  )
  await client.query(`alter database ${draft} rename to ${name}`)
}

/** The URL of another database on the same server. */
export function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}
