import type { OpenTransaction } from '../../database/transaction/transaction.ts'
import type { Consumer } from '../../listener/read/consumer.ts'
import { renameShadow, shadowOf } from '../../projection/shadow/shadow-schema.ts'
import type { Logger } from '../../telemetry/logger.ts'

interface KnownRow {
  readonly name: string
  readonly kind: string
  readonly rebuild_generation: number | null
}

/**
 * Gives a consumer that has a new name what it had under an old one: cursors, dead letters and states. Whoever runs it
 * under the old name loses its lease.
 *
 * A name that each of two definitions has as an old one of the other's was given back: the last process to run the other
 * name decides, so that a rolling deploy does not rename to and fro.
 *
 * @param silence - for how many milliseconds a process may be silent before it counts as dead.
 * @returns whether a newer definition has this name as an old one: then it is left to those who have that; `'later'` when
 * that is to be asked again, because those may end.
 */
export async function takeOldName(
  transaction: OpenTransaction,
  schema: string,
  consumer: Consumer,
  logger: Logger,
  silence: number,
): Promise<boolean | 'later'> {
  const { name, aliases = [] } = consumer
  const { rows: newer } = await transaction.query(
    `SELECT name FROM "${schema}".listeners WHERE definition -> 'aliases' ? $1::text AND name <> $1::text`,
    [name],
  )
  if (newer[0] !== undefined) {
    const { name: now } = newer[0] as { name: string }
    if (aliases.includes(now)) {
      if (!(await isRun(transaction, schema, now, silence))) {
        return takeName(transaction, schema, consumer, logger)
      }
      logger.info({ listener: name, now }, `${name} waits until no process runs ${now} any more`)
      return 'later'
    }
    logger.warn(
      { listener: name, now },
      `${name} is ${now} now; this process leaves it to newer ones`,
    )
    return true
  }
  return aliases.length === 0 ? false : takeName(transaction, schema, consumer, logger)
}

/** Whether a live process runs what has this name. */
async function isRun(
  transaction: OpenTransaction,
  schema: string,
  name: string,
  silence: number,
): Promise<boolean> {
  const { rows } = await transaction.query(
    `SELECT FROM "${schema}".processes p, jsonb_to_recordset(p.definitions) AS d (name text)
     WHERE p.heartbeat_at > clock_timestamp() - $2::integer * interval '1 ms' AND d.name = $1::text LIMIT 1`,
    [name, silence],
  )
  return rows.length > 0
}

async function takeName(
  transaction: OpenTransaction,
  schema: string,
  { name, kind, aliases = [] }: Consumer,
  logger: Logger,
): Promise<false> {
  const { rows } = await transaction.query(
    `SELECT name, kind, rebuild_generation FROM "${schema}".listeners
     WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE`,
    [[name, ...aliases]],
  )
  const known = rows as unknown as readonly KnownRow[]
  // The latest of its names that there is.
  const old = aliases.map((alias) => known.find((row) => row.name === alias)).find(Boolean)
  if (old === undefined) return false
  if (known.some((row) => row.name === name) || old.kind !== kind) {
    logger.warn(
      { listener: name, old: old.name },
      `${old.name} is there beside ${name}, whose old name it is; what it was is left as it is`,
    )
    return false
  }
  await transaction.query(
    `UPDATE "${schema}".listeners SET name = $2::text WHERE name = $1::text`,
    [old.name, name],
  )
  await transaction.query(
    `UPDATE "${schema}".cursors SET epoch = epoch + 1, owner = NULL, lease_until = NULL
     WHERE listener = $1::text`,
    [name],
  )
  if (old.rebuild_generation !== null) {
    // The copies of tables that are being built are found by the name of the projection.
    const generation = old.rebuild_generation
    const copies = (of: string) => shadowOf(schema, of, generation)
    await renameShadow(transaction, copies(old.name), copies(name))
  }
  logger.info({ listener: name, old: old.name }, `${name} goes on where ${old.name} was`)
  return false
}
