import type { App } from 'tidemark'
import { cell, plural } from '../output.ts'
import { reading } from '../rows.ts'
import { findings, type Check } from './check.ts'

/** A transaction that publishes now. Nothing above its floor is read until it ends. */
interface Publisher {
  readonly floor: string
  /** Null for a prepared transaction. */
  readonly pid: number | null
  /** The name of a prepared transaction. */
  readonly prepared: string | null
  readonly application: string | null
  readonly state: string | null
  readonly ageSeconds: number
  readonly query: string | null
}

/** The transactions that hold the horizon back, when they have done so for long. */
export const publishers: Check = {
  name: 'publishers',
  look: async ({ app, publisherAge }) => {
    const { ok, failed } = findings('publishers')
    const all = await readPublishers(app)
    const long = all.filter(({ ageSeconds }) => ageSeconds * 1000 >= publisherAge)
    if (long.length === 0) {
      return [
        ok(
          all.length === 0
            ? 'nobody is publishing'
            : `${plural(all.length, 'transaction')} publishing, none for long`,
          all,
        ),
      ]
    }
    return long.map((publisher) => failed(describe(publisher), remedy(publisher), publisher))
  },
}

async function readPublishers(app: App): Promise<readonly Publisher[]> {
  // The view says which lock and whose; a prepared transaction is found by the lock
  // that each transaction holds on its own number.
  return reading(app, (query) =>
    query<Publisher>(
      `SELECT DISTINCT ON (p.floor, l.virtualtransaction) p.floor, p.pid, x.gid AS prepared,
              a.application_name AS application, a.state,
              extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, x.prepared))::float8 AS "ageSeconds",
              a.query
       FROM "${app.schema}".publishers p
       JOIN pg_locks l ON l.locktype = 'advisory' AND l.objsubid = 1 AND l.pid IS NOT DISTINCT FROM p.pid
         AND ((l.classid::bigint & 65535) << 32 | l.objid::bigint) = p.floor
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       LEFT JOIN pg_stat_activity a ON a.pid = p.pid
       LEFT JOIN pg_locks t ON p.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
         AND t.mode = 'ExclusiveLock' AND t.virtualtransaction = l.virtualtransaction
       LEFT JOIN pg_prepared_xacts x ON x.transaction = t.transactionid
       ORDER BY p.floor, l.virtualtransaction`,
    ),
  )
}

function describe(publisher: Publisher): string {
  const { floor, pid, prepared, application, state, ageSeconds, query } = publisher
  const who =
    pid === null
      ? `the prepared transaction "${prepared ?? 'unknown'}"`
      : `pid ${pid} (${application || 'no application name'}, ${state ?? 'state hidden'})`
  const what = query === null || query === '' ? '' : `; its query: ${cell(query).slice(0, 120)}`
  return `${who} has been publishing for ${Math.round(ageSeconds)} s: nothing after sequence ${floor} is read${what}`
}

function remedy({ pid, prepared }: Publisher): string {
  if (pid === null) {
    return prepared === null
      ? 'Find it in pg_prepared_xacts, then COMMIT PREPARED or ROLLBACK PREPARED it.'
      : `COMMIT PREPARED '${prepared}', or ROLLBACK PREPARED it.`
  }
  return `Let it commit. If it never will: SELECT pg_terminate_backend(${pid}), which rolls it back.`
}
