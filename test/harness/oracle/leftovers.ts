import type { Check } from './violation.ts'

const schemas = ['tidemark', 'second'] as const

/** What must not be there when all workers have ended. */
export const leftovers: readonly Check[] = [
  ...schemas.flatMap((schema): Check[] => [
    {
      promise: 'no lease is left',
      finds: `SELECT listener, partition, owner FROM ${schema}.cursors WHERE owner IS NOT NULL AND lease_until > clock_timestamp()`,
    },
    {
      promise: 'no process is left that does not live',
      finds: `SELECT id, pid, heartbeat_at FROM ${schema}.processes`,
    },
    { promise: 'no doorbell is left armed', finds: `SELECT * FROM ${schema}.doorbells` },
    {
      promise: 'no lock is left held',
      finds: `SELECT * FROM ${schema}.locks WHERE held_until > clock_timestamp()`,
    },
    {
      promise: 'no publisher holds the horizon back',
      finds: `SELECT * FROM ${schema}.publishers`,
    },
    {
      promise: 'no job is left running',
      finds: `SELECT id, name, process FROM ${schema}.jobs WHERE status = 'running'`,
    },
    {
      promise: 'no rebuild is left halfway',
      finds: `SELECT name, rebuild_generation FROM ${schema}.listeners WHERE rebuild_generation IS NOT NULL`,
    },
  ]),
  {
    promise: 'no connection is left',
    finds: `SELECT pid, application_name, state, query FROM pg_stat_activity
      WHERE datname = current_database() AND backend_type = 'client backend' AND application_name LIKE 'tidemark%'
        AND application_name <> 'tidemark harness'`,
  },
  {
    promise: 'no transaction is left prepared',
    finds: `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`,
  },
]
