import pg from 'pg'
import { requireText } from '../errors/checked-text.ts'
import { rejectUnknownOptions, requireFunction } from '../errors/options.ts'
import { errorCodeOf, isConnectionError } from '../errors/postgres-error.ts'
import { TidemarkError } from '../errors/tidemark-error.ts'
import { applicationOptions } from './application-options.ts'
import { requireEncoding, requireEncodingSql } from './encoding.ts'
import type { Executor } from './executor.ts'
import { migrations, type Migration } from './generated/migrations.ts'
import { ownTypes } from './given/own-types.ts'
import { clientConfig, type ConnectionOptions } from './pool.ts'
import { advisoryKey, defaultSchema, requireSchemaName, substituteSchema } from './schema.ts'
import { furnishSession, settingsText } from './transaction/session-traces.ts'

// After how many milliseconds of silence the server ends the transaction of a migration.
const idleTimeout = 5_000

/** Where to migrate, and who wants to hear of it. */
export interface MigrateOptions extends ConnectionOptions {
  /** Defaults to `tidemark`. */
  readonly schema?: string
  /** Called before and after each migration. */
  readonly onProgress?: (step: {
    migration: MigrationStatus
    state: 'applying' | 'applied'
  }) => void
}

/**
 * One migration as it stands: `applied`, `pending`, `changed` (its recorded checksum differs from the one
 * this version carries) or `unknown` (applied by a newer version).
 */
export interface MigrationStatus {
  readonly version: number
  readonly name: string
  readonly breaking: boolean
  readonly state: 'applied' | 'pending' | 'changed' | 'unknown'
  readonly appliedAt: Date | null
}

/** What {@link migrateUp} did. */
export interface MigrationReport {
  readonly schema: string
  readonly applied: readonly MigrationStatus[]
  readonly status: readonly MigrationStatus[]
}

/**
 * Brings the schema up to date: creates it if it is missing and applies the pending migrations in order,
 * each in a transaction of its own. Any number of processes may call it at once; one works, the others wait
 * and find nothing left to do.
 *
 * @throws TidemarkError TIDEMARK_CONNECTION_FAILED, TIDEMARK_MISSING_PRIVILEGE, TIDEMARK_UNSUPPORTED_ENCODING,
 * TIDEMARK_MIGRATION_CHANGED, TIDEMARK_SCHEMA_TOO_NEW or TIDEMARK_MIGRATION_FAILED.
 *
 * @example
 * ```ts
 * import { migrateUp } from 'tidemark'
 *
 * const report = await migrateUp({ connectionString: 'postgres://localhost/app' })
 * console.log(report.applied.length, 'migrations applied')
 * ```
 */
export async function migrateUp(options: MigrateOptions = {}): Promise<MigrationReport> {
  checkMigrateOptions('migrateUp', options)
  const schema = requireSchemaName(options.schema ?? defaultSchema)
  return withClient(options, async (client) => {
    await requireEncoding(client)
    const applied: MigrationStatus[] = []
    for (;;) {
      const next = await applyNext(client, schema, options.onProgress)
      if (next === undefined) break
      applied.push(next)
    }
    return { schema, applied, status: await readStatus(client, schema) }
  })
}

/**
 * The state of every migration that this version or the database knows. Changes nothing.
 *
 * @throws TidemarkError TIDEMARK_CONNECTION_FAILED or TIDEMARK_MISSING_PRIVILEGE.
 */
export async function migrationStatus(
  options: MigrateOptions = {},
): Promise<readonly MigrationStatus[]> {
  checkMigrateOptions('migrationStatus', options)
  const schema = requireSchemaName(options.schema ?? defaultSchema)
  return withClient(options, (client) => readStatus(client, schema))
}

/**
 * The whole schema as a script for `psql`, for those whose database is changed by other hands. It records the
 * migrations, so that {@link migrateUp} goes on from there.
 */
export function migrationSql(
  options: { readonly schema?: string; readonly from?: number } = {},
): string {
  rejectUnknownOptions('migrationSql', options, ['schema', 'from'])
  const schema = requireSchemaName(options.schema ?? defaultSchema)
  const parts = migrations
    .filter((migration) => migration.version > (options.from ?? 0))
    .map(
      (migration) =>
        `-- ${migration.version} ${migration.name}\n${substituteSchema(migration.sql, schema)}\n${recordSql(schema, migration)};`,
    )
  return ['BEGIN;', requireEncodingSql, bootstrapSql(schema), ...parts, 'COMMIT;', ''].join('\n\n')
}

/**
 * Throws unless the schema is one that this version can work with.
 *
 * @throws TidemarkError TIDEMARK_UNSUPPORTED_ENCODING, TIDEMARK_MIGRATION_REQUIRED or TIDEMARK_SCHEMA_TOO_NEW.
 */
export async function requireMigrated(executor: Executor, schema: string): Promise<void> {
  await requireEncoding(executor)
  const status = await readStatus(executor, schema)
  refuseNewer(status, schema)
  const missing = status.filter((migration) => migration.state === 'pending')
  if (missing.length === 0) return
  throw new TidemarkError(
    'TIDEMARK_MIGRATION_REQUIRED',
    missing.length === migrations.length
      ? `schema "${schema}" has no Tidemark tables`
      : `schema "${schema}" lacks ${missing.map((migration) => `${migration.version} ${migration.name}`).join(', ')}`,
    {
      ...(schema === defaultSchema
        ? {}
        : { hint: `Run \`tidemark migrate up --schema ${schema}\` first.` }),
      details: { schema, missing: missing.map((migration) => migration.version) },
    },
  )
}

/** Applies the first pending migration, or answers undefined when there is none. */
async function applyNext(
  client: pg.Client,
  schema: string,
  onProgress: MigrateOptions['onProgress'],
): Promise<MigrationStatus | undefined> {
  // A process that is frozen in the middle keeps no locks.
  await client.query(`BEGIN; SET LOCAL idle_in_transaction_session_timeout = ${idleTimeout}`)
  try {
    // Held to the end of the transaction, so that it also works through a transaction pooler.
    await client.query(`SELECT pg_advisory_xact_lock(${advisoryKey})`, [
      `tidemark.migrate.${schema}`,
    ])
    const before = await readStatus(client, schema)
    refuseNewer(before, schema)
    refuseChanged(before, schema)
    const pending = before.find((status) => status.state === 'pending')
    const migration = migrations.find((candidate) => candidate.version === pending?.version)
    if (pending === undefined || migration === undefined) {
      await chooseNamespace(client, schema)
      await client.query('COMMIT')
      return undefined
    }
    onProgress?.({ migration: pending, state: 'applying' })
    if (before.every((status) => status.state === 'pending')) {
      await client.query(bootstrapSql(schema))
    }
    await client.query(substituteSchema(migration.sql, schema))
    await client.query(recordSql(schema, migration))
    await client.query('COMMIT')
    const applied: MigrationStatus = { ...pending, state: 'applied', appliedAt: new Date() }
    onProgress?.({ migration: applied, state: 'applied' })
    return applied
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {})
    throw error
  }
}

/** Gives the install another lock namespace if it was restored beside one that has the same. */
async function chooseNamespace(client: pg.Client, schema: string): Promise<void> {
  // Looked at first: who may not change it may migrate where nothing is left to do.
  const { rows } = await client.query(
    `SELECT "${schema}".lock_namespace() IN (SELECT * FROM "${schema}".other_lock_namespaces()) AS shared`,
  )
  if ((rows[0] as { shared: boolean }).shared) {
    await client.query(`SELECT "${schema}".choose_lock_namespace()`)
  }
}

/** The state of every migration that this version or the database knows. */
export async function readStatus(
  executor: Executor,
  schema: string,
): Promise<readonly MigrationStatus[]> {
  const recorded = await readRecorded(executor, schema)
  const known = migrations.map((migration): MigrationStatus => {
    const row = recorded.get(migration.version)
    return {
      version: migration.version,
      name: migration.name,
      breaking: migration.breaking,
      state:
        row === undefined ? 'pending' : row.checksum === migration.checksum ? 'applied' : 'changed',
      appliedAt: row?.appliedAt ?? null,
    }
  })
  const newer = [...recorded.values()]
    .filter((row) => migrations.every((migration) => migration.version !== row.version))
    .map((row): MigrationStatus => {
      const { version, name, breaking, appliedAt } = row
      return { version, name, breaking, state: 'unknown', appliedAt }
    })
  return [...known, ...newer]
}

interface RecordedMigration {
  version: number
  name: string
  breaking: boolean
  checksum: string
  appliedAt: Date
}

async function readRecorded(
  executor: Executor,
  schema: string,
): Promise<Map<number, RecordedMigration>> {
  const table = await executor.query('SELECT to_regclass($1) IS NOT NULL AS present', [
    `"${schema}".migrations`,
  ])
  if (table.rows[0]?.['present'] !== true) return new Map()
  const { rows } = await executor.query(
    `SELECT version, name, breaking, checksum, applied_at AS "appliedAt" FROM "${schema}".migrations ORDER BY version`,
  )
  return new Map((rows as unknown as RecordedMigration[]).map((row) => [row.version, row]))
}

function refuseNewer(status: readonly MigrationStatus[], schema: string): void {
  const newer = status.find((migration) => migration.state === 'unknown' && migration.breaking)
  if (newer === undefined) return
  throw new TidemarkError(
    'TIDEMARK_SCHEMA_TOO_NEW',
    `schema "${schema}" has the breaking migration ${newer.version} ${newer.name}, which this version does not know`,
    { details: { schema, version: newer.version } },
  )
}

function refuseChanged(status: readonly MigrationStatus[], schema: string): void {
  const changed = status.find((migration) => migration.state === 'changed')
  if (changed === undefined) return
  throw new TidemarkError(
    'TIDEMARK_MIGRATION_CHANGED',
    `migration ${changed.version} ${changed.name} was applied to schema "${schema}" with another text than this version carries`,
    { details: { schema, version: changed.version } },
  )
}

function bootstrapSql(schema: string): string {
  return `CREATE SCHEMA IF NOT EXISTS "${schema}";
CREATE TABLE IF NOT EXISTS "${schema}".migrations (
  version    integer     PRIMARY KEY,
  name       text        NOT NULL,
  breaking   boolean     NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_by text        NOT NULL DEFAULT current_user
);`
}

function recordSql(schema: string, migration: Migration): string {
  const { version, name, breaking, checksum } = migration
  return `INSERT INTO "${schema}".migrations (version, name, breaking, checksum) VALUES (${version}, '${name}', ${breaking}, '${checksum}')`
}

async function withClient<T>(
  options: MigrateOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const config = clientConfig(options, 'tidemark migrate')
  const client = new pg.Client({ ...config, types: ownTypes })
  client.on('error', () => {}) // the statement under way reports it
  try {
    await client.connect()
    furnishSession(client, settingsText(config))
    return await work(client)
  } catch (error) {
    throw explain(error)
  } finally {
    await client.end().catch(() => {})
  }
}

function explain(error: unknown): unknown {
  if (error instanceof TidemarkError) return error
  const code = errorCodeOf(error)
  const message = error instanceof Error ? error.message || code || error.name : String(error)
  if (isConnectionError(error) || code?.startsWith('28') === true || code === '3D000') {
    return new TidemarkError('TIDEMARK_CONNECTION_FAILED', message, { cause: error })
  }
  if (code === '42501') {
    return new TidemarkError('TIDEMARK_MISSING_PRIVILEGE', message, { cause: error })
  }
  return new TidemarkError('TIDEMARK_MIGRATION_FAILED', message, { cause: error })
}

function checkMigrateOptions(where: string, options: MigrateOptions): void {
  rejectUnknownOptions(where, options, [...applicationOptions, 'onProgress'])
  const { connectionString, onProgress } = options
  if (connectionString !== undefined) {
    requireText(where, 'connectionString', connectionString, { least: 0, most: 65_536 })
  }
  if (onProgress !== undefined) requireFunction(where, 'onProgress', onProgress)
}
