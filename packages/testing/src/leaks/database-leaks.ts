import type { Database } from '../database/test-database.ts'
import type { LeakCheckOptions } from './leak-check-options.ts'

/** A server process and what it is doing, as `pg_stat_activity` has it. */
interface Activity {
  readonly pid: number
  readonly application: string
  readonly state: string
  readonly query: string
  readonly transactionAge: number | null
}

/** The process ids of all connections to the database, without those of its own pool. */
export async function openConnections(database: Database): Promise<readonly number[]> {
  const own = new Set(database.poolPids)
  const activity = await readActivity(database)
  return activity.map(({ pid }) => pid).filter((pid) => !own.has(pid))
}

/** Says in words what is left in the database. */
export async function findDatabaseLeaks(
  database: Database,
  options: Pick<LeakCheckOptions, 'baseline' | 'allowedApplications'>,
): Promise<readonly string[]> {
  const activity = await readActivity(database)
  const taken = database.pool.totalCount - database.pool.idleCount
  return [
    ...foreignConnections(database, activity, options),
    ...(taken > 0
      ? [`${taken} client(s) of the database's pool not given back: call release()`]
      : []),
    ...activity.filter(({ transactionAge }) => transactionAge !== null).map(describeTransaction),
    ...(await preparedTransactions(database)),
    ...(await advisoryLocks(database)),
    ...(await leases(database)),
  ]
}

function foreignConnections(
  database: Database,
  activity: readonly Activity[],
  {
    baseline,
    allowedApplications = [],
  }: Pick<LeakCheckOptions, 'baseline' | 'allowedApplications'>,
): readonly string[] {
  const known = new Set([...database.poolPids, ...(baseline?.connections ?? [])])
  return activity
    .filter(({ pid, application }) => !known.has(pid) && !allowedApplications.includes(application))
    .map(({ pid, application, state, query }) => {
      return `connection ${pid} of "${application}", ${state}, last statement: ${brief(query)}`
    })
}

function describeTransaction({ pid, application, state, query, transactionAge }: Activity): string {
  const age = (transactionAge ?? 0).toFixed(1)
  return `transaction of connection ${pid} ("${application}"), open for ${age} s, ${state}, last statement: ${brief(query)}`
}

async function readActivity(database: Database): Promise<readonly Activity[]> {
  const { rows } = await database.observe<Activity>(`
    select pid, application_name as application, coalesce(state, 'starting') as state, query,
           extract(epoch from clock_timestamp() - xact_start)::float8 as "transactionAge"
    from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
    order by pid`)
  return rows
}

async function preparedTransactions(database: Database): Promise<readonly string[]> {
  const { rows } = await database.observe<{ gid: string }>(
    'select gid from pg_prepared_xacts where database = current_database() order by gid',
  )
  return rows.map(({ gid }) => `prepared transaction '${gid}': roll it back or commit it`)
}

async function advisoryLocks(database: Database): Promise<readonly string[]> {
  const { rows } = await database.observe<{ pid: number | null; mode: string; key: string }>(`
    select pid, mode, case objsubid
      when 1 then ((classid::int8 << 32) | objid::int8)::text
      -- Two signed numbers, which the view shows as unsigned ones.
      else format('(%s, %s)', (classid::int8 << 32) >> 32, (objid::int8 << 32) >> 32) end as key
    from pg_locks
    where locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())
    order by pid, key`)
  return rows.map(({ pid, mode, key }) => {
    const holder = pid === null ? 'a prepared transaction' : `connection ${pid}`
    return `advisory lock ${key} (${mode}), held by ${holder}`
  })
}

async function leases(database: Database): Promise<readonly string[]> {
  const cursors = `"${database.schema}".cursors`
  const { rows: found } = await database.observe<{ present: boolean }>(
    `select to_regclass('${cursors}') is not null as present`,
  )
  if (found[0]?.present !== true) return []
  const { rows } = await database.observe<{ listener: string; partition: number; owner: string }>(`
    select listener, partition, owner from ${cursors}
    where owner is not null and lease_until > now() order by listener, partition`)
  return rows.map(({ listener, partition, owner }) => {
    return `lease on "${listener}", partition ${partition}, held by process ${owner}`
  })
}

function brief(statement: string): string {
  const line = statement.replaceAll(/\s+/g, ' ').trim()
  if (line === '') return '(none)'
  return line.length > 100 ? `${line.slice(0, 100)}…` : line
}
