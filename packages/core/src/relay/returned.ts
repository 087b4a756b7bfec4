import type { Executor } from '../database/executor.ts'
import type { RelayedMessage } from './message.ts'

/** An outbox that has an event, and the event's sequence there. */
export interface Hop {
  readonly install: string
  readonly sequence: string
}

/** The outboxes that an event came through, its publisher's first, that of the relay last. */
export function hopsOf({ install, sequence, metadata }: RelayedMessage): readonly Hop[] {
  const last = { install, sequence: String(sequence) }
  const { 'tidemark.origin': origin } = (metadata === null ? {} : JSON.parse(metadata)) as {
    'tidemark.origin'?: { readonly via?: unknown } | null
  }
  // What it says was written by somebody, perhaps not by an intake.
  const via: readonly unknown[] = Array.isArray(origin?.via) ? origin.via : []
  return [...[...via, origin].filter(isHop), last]
}

function isHop(value: unknown): value is Hop {
  if (typeof value !== 'object' || value === null) return false
  const { install, sequence } = value as Partial<Hop>
  return typeof install === 'string' && /^\d{1,18}$/u.test(String(sequence))
}

/**
 * Which messages say events that this outbox itself has published: they went to another service and came back, or the intake
 * reads the stream of this outbox's own relay. An outbox that was copied from another has its install; so the event
 * itself must be there, too, where it is not pruned.
 */
export async function readReturned(
  executor: Executor,
  schema: string,
  install: string,
  messages: readonly RelayedMessage[],
): Promise<ReadonlySet<RelayedMessage>> {
  const own = messages.flatMap((message) =>
    hopsOf(message)
      .filter((hop) => hop.install === install)
      .map(({ sequence }) => ({ message, sequence })),
  )
  if (own.length === 0) return new Set()
  const { rows } = await executor.query(
    `SELECT asked.sequence::text AS sequence, event.id::text AS id,
       asked.sequence < (SELECT max(upper_bound) FROM "${schema}".pruned_partitions) AS pruned
     FROM unnest($1::bigint[]) AS asked(sequence)
     LEFT JOIN "${schema}".events AS event ON event.sequence = asked.sequence`,
    [own.map(({ sequence }) => sequence)],
  )
  const found = new Map(rows.map((row) => [row['sequence'] as string, row]))
  const isOwn = ({ message, sequence }: (typeof own)[number]): boolean => {
    const { id, pruned } = found.get(String(BigInt(sequence))) ?? {}
    return id === null ? pruned === true : id === message.id
  }
  return new Set(own.filter(isOwn).map(({ message }) => message))
}
