import { run, type Executor, type PreparingExecutor } from '../../database/executor.ts'
import { readStream } from '../../database/sql/outbox/streams.ts'
import { requireText } from '../../errors/checked-text.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EventRow } from '../../event/event-row.ts'
import type { RecordedEvent } from '../../event/recorded-event.ts'
import type { EventRegistry } from '../../event/registry.ts'
import { sequenceZero, type EventSequence } from '../../event/sequence.ts'
import { StoredEvent } from '../../event/stored-event.ts'
import { readHorizon } from '../ordered/horizon.ts'
import { wait } from '../woken/wait.ts'
import { pageBytes, readPage } from './page.ts'

const pageSize = 500
const followInterval = 100

/** Which events to read. */
export interface ReadOptions {
  /** Start after this sequence. Defaults to the beginning. */
  readonly after?: EventSequence
  /** Only events of these types. Defaults to all. */
  readonly types?: readonly string[]
  /** Go on with what is published later, until the signal aborts or the loop is left. Defaults to false. */
  readonly follow?: boolean
  readonly signal?: AbortSignal
}

/**
 * The events of the outbox in the order of their sequences, up to the horizon: none that is read has one before it
 * that commits later.
 *
 * @throws TidemarkError TIDEMARK_STANDBY on a standby.
 */
export async function* outboxEvents(
  executor: Executor | PreparingExecutor,
  schema: string,
  registry: EventRegistry,
  options: ReadOptions = {},
): AsyncGenerator<RecordedEvent> {
  const { follow = false, types, signal } = options
  for (const type of types ?? []) requireText('events', 'types', type)
  let after = options.after ?? sequenceZero
  await requirePrimary(executor)
  for (;;) {
    const { sequence: upTo } = await readHorizon(executor, schema)
    for (;;) {
      const request = { after, upTo, limit: pageSize, ...(types === undefined ? {} : { types }) }
      const { events, full } = await readPage(executor, schema, request)
      for (const event of events) yield event.decode(registry)
      after = events.at(-1)?.sequence ?? after
      if (!full) break
    }
    if (!follow || signal?.aborted === true) return
    await wait(followInterval, signal)
  }
}

// Publishers register with locks, which a standby does not have: it would take every number drawn for settled.
async function requirePrimary(executor: Executor): Promise<void> {
  const { rows } = await executor.query('SELECT pg_is_in_recovery() AS standby')
  if (rows[0]?.['standby'] !== true) return
  throw new TidemarkError(
    'TIDEMARK_STANDBY',
    'the server is a standby: transactions that publish cannot be seen there',
  )
}

/** The events of a stream in the order of its versions, after the given one. */
export async function* streamEvents(
  executor: Executor | PreparingExecutor,
  schema: string,
  registry: EventRegistry,
  stream: string,
  after: bigint = 0n,
): AsyncGenerator<RecordedEvent> {
  requireText('stream', 'name', stream)
  for (let version = after; ;) {
    const values = [stream, version, pageSize, pageBytes]
    const { rows } = await run(executor, readStream(schema), values)
    for (const row of rows as unknown as EventRow[]) {
      const event = new StoredEvent(row).decode(registry)
      version = event.streamVersion ?? version
      yield event
    }
    if (rows.length < pageSize && Number(rows.at(-1)?.['bytes'] ?? 0) < pageBytes) return
  }
}
