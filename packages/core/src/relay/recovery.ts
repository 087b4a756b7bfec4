import { TidemarkError } from '../errors/tidemark-error.ts'
import { sequenceZero, type EventSequence } from '../event/sequence.ts'
import type { StreamTip } from './target.ts'

/** What Postgres remembers of the stream, written with the cursor. */
export interface RelayMark {
  readonly stream: string
  readonly created: string
  /** The last event that the stream is known to have stored, and its position there. */
  readonly sequence: EventSequence
  readonly position: bigint
}

/** Where a relay goes on. */
export interface Resumption {
  /** The last event that the stream holds: those after it are sent. */
  readonly sequence: EventSequence
  /** The position after which the next message must be stored. */
  readonly position: bigint
}

/** What the relay knows when it opens a stream. */
export interface Found {
  readonly relay: string
  readonly install: string
  /** The name of the stream. */
  readonly stream: string
  readonly tip: StreamTip
  readonly mark: RelayMark | undefined
  /** The last sequence of the outbox. */
  readonly lastSequence: EventSequence
}

/**
 * Decides where a relay goes on. The stream decides, not the cursor: what it holds last was sent, and nothing after it.
 *
 * @throws TidemarkError TIDEMARK_RELAY_STREAM_REPLACED, TIDEMARK_RELAY_STREAM_SHARED, TIDEMARK_RELAY_TIP_GONE or
 * TIDEMARK_RELAY_AHEAD: going on would send an event twice, or leave one out.
 */
export function resume(found: Found): Resumption {
  const { tip, stream, install, lastSequence } = found
  // Another stream, as its definition says: it is given everything that it lacks.
  const mark = found.mark?.stream === stream ? found.mark : undefined
  if (mark !== undefined && mark.created !== tip.created) throw replaced(found, mark)
  const { last, position, broken } = tip
  if (broken !== undefined) throw brokenAt(found, broken)
  if (last === undefined) return { sequence: sequenceZero, position: 0n }
  if (last === 'gone') {
    // Expired or purged after it was stored, as the cursor knows; or the stream was written to since.
    if (mark?.position === position) return { sequence: mark.sequence, position }
    throw gone(found)
  }
  if (last === 'foreign' || last.install !== install) throw shared(found)
  if (last.sequence > lastSequence) throw ahead(found, last.sequence)
  return { sequence: last.sequence, position }
}

function replaced({ relay, stream, tip }: Found, mark: RelayMark): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_STREAM_REPLACED',
    `${relay}: the stream ${stream} was made anew at ${tip.created}; the one that ${relay} wrote to was made at ${mark.created}`,
    { details: { relay, stream, created: tip.created, expected: mark.created } },
  )
}

function gone({ relay, stream, tip, mark }: Found): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_TIP_GONE',
    `${relay}: the last message of the stream ${stream}, at ${tip.position}, is gone, and ${relay} has not sent it${mark === undefined ? '' : `: it was at ${mark.position}`}`,
    { details: { relay, stream, position: tip.position, known: mark?.position } },
  )
}

function shared({ relay, stream, tip, install }: Found): TidemarkError {
  const { last } = tip
  const from = typeof last === 'object' ? `the outbox ${last.install}` : 'no relay'
  return new TidemarkError(
    'TIDEMARK_RELAY_STREAM_SHARED',
    `${relay}: the last message of the stream ${stream} comes from ${from}, not from this outbox (${install})`,
    { details: { relay, stream, install, position: tip.position } },
  )
}

function brokenAt({ relay, stream, install }: Found, position: bigint): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_STREAM_SHARED',
    `${relay}: the message at ${position} of the stream ${stream} does not follow the one before it: somebody else has written there`,
    { details: { relay, stream, install, position } },
  )
}

function ahead({ relay, stream, lastSequence }: Found, sequence: EventSequence): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_RELAY_AHEAD',
    `${relay}: the stream ${stream} holds event ${sequence}, but the last of the outbox is ${lastSequence}`,
    { details: { relay, stream, sequence, lastSequence } },
  )
}
