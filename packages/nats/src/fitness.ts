import { RetentionPolicy, type StreamConfig } from '@nats-io/jetstream'
import { TidemarkError } from 'tidemark'

/**
 * Refuses a stream that loses what it must keep, or takes nothing, by the way it is set up. Limits of age and size are the
 * owner's to choose: an intake sees what has expired before it was read.
 *
 * @throws TidemarkError TIDEMARK_RELAY_STREAM_UNFIT.
 */
export function requireFit(config: StreamConfig, keep: 'all' | 'last'): void {
  const problem = problemOf(config, keep)
  if (problem === undefined) return
  const { name } = config
  throw new TidemarkError('TIDEMARK_RELAY_STREAM_UNFIT', `the stream ${name} has ${problem}`, {
    details: { stream: name },
  })
}

function problemOf(config: StreamConfig, keep: 'all' | 'last'): string | undefined {
  const { retention, mirror, sources = [], sealed, no_ack: unacknowledged } = config
  if (retention !== RetentionPolicy.Limits) {
    return `retention "${retention}", which removes what was read, and needs "limits"`
  }
  if (mirror !== undefined || sources.length > 0) {
    return 'another stream as its source, and needs subjects of its own'
  }
  if (sealed) return 'been sealed: it takes nothing any more'
  if (unacknowledged) return 'no_ack set: it does not say what it has stored'
  // No limit is -1 in what the server answers.
  const kept = Math.max(config.max_msgs_per_subject ?? 0, 0)
  if (keep === 'all' && kept > 0) {
    return `max_msgs_per_subject ${kept}, and needs none; where the last is enough, define it with \`keep: 'last'\``
  }
  if (keep === 'last' && kept !== 1) {
    return `${kept === 0 ? 'no max_msgs_per_subject' : `max_msgs_per_subject ${kept}`}, and needs 1 for \`keep: 'last'\``
  }
  return undefined
}
