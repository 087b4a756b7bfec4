import type { TestDatabase } from '@tidemark/testing'
import {
  defineEvent,
  defineListener,
  type EventDefinition,
  type Executor,
  type Listener,
  type ListenerOptions,
  type RecordedEvent,
} from 'tidemark'
import { z } from 'zod'

/** The event that most of the guarantee tests publish. */
export const noted = defineEvent('test.noted', {
  payload: z.object({ note: z.string() }),
})

/** Writes down, in the handler's transaction, that the event took effect. */
export async function recordEffect(
  tx: Executor,
  listener: string,
  event: RecordedEvent,
  by: string | null = null,
): Promise<void> {
  await tx.query('insert into effects (listener, sequence, process) values ($1, $2, $3)', [
    listener,
    event.sequence,
    by,
  ])
}

/** A listener whose one effect is a row for each event. */
export function recorder(
  name: string,
  options: ListenerOptions = {},
  definition: EventDefinition = noted,
): Listener {
  return defineListener(name, options).on(definition, async (event, { tx }) => {
    await recordEffect(tx, name, event)
  })
}

/** The sequences that took effect in a listener, in the order in which they did. */
export async function effectsOf(database: TestDatabase, listener: string): Promise<bigint[]> {
  const { rows } = await database.query<{ sequence: string }>(
    'select sequence from effects where listener = $1 order by id',
    [listener],
  )
  return rows.map(({ sequence }) => BigInt(sequence))
}

/** The sequences of all committed events of a type, in order. */
export async function committedEvents(
  database: TestDatabase,
  type: string = noted.type,
): Promise<bigint[]> {
  const { rows } = await database.query<{ sequence: string }>(
    `select sequence from ${database.schema}.events where type = $1 order by sequence`,
    [type],
  )
  return rows.map(({ sequence }) => BigInt(sequence))
}

/** The notes of the effects of a listener, in order: easier to read than sequences. */
export async function notesOf(database: TestDatabase, listener: string): Promise<string[]> {
  const { rows } = await database.query<{ note: string }>(
    `select e.payload ->> 'note' as note from effects f
     join ${database.schema}.events e on e.sequence = f.sequence
     where f.listener = $1 order by f.id`,
    [listener],
  )
  return rows.map(({ note }) => note)
}
