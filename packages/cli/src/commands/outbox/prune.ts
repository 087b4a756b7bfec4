import type { Command } from 'commander'
import type { PruneCandidate, PruneOptions } from 'tidemark'
import { ageArgument } from '../../arguments/arguments.ts'
import { requireConfirmation } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { plural } from '../../output/output.ts'
import { sizeOf } from '../../output/size.ts'

interface Options {
  readonly olderThan?: number
  readonly evenProjections?: boolean
  readonly evenStreams?: boolean
  readonly archive?: string
  readonly idempotencyKeys?: number
  readonly yes?: boolean
}

/** `tidemark outbox prune` */
export function addOutboxPrune(parent: Command, context: Context): void {
  parent
    .command('prune')
    .description(
      'Drop the whole partitions that every listener has passed and that nobody needs, the oldest first; or archive them. Needs the owner of the tables.',
    )
    .option(
      '--older-than <age>',
      'only events that are at least this old, such as 90d',
      ageArgument,
    )
    .option('--archive <schema>', 'move the tables to this schema instead of dropping them')
    .option('--even-projections', 'also events that projections would need to be rebuilt from zero')
    .option('--even-streams', 'also events of streams, which can then not be loaded any more')
    .option(
      '--idempotency-keys <age>',
      'forget idempotency keys that are at least this old, such as 30d',
      ageArgument,
    )
    .option('--yes', 'do it')
    .action(
      running<Options, []>(context, async ({ options, session, output }) => {
        const app = await session.app()
        const { olderThan, evenProjections, evenStreams, archive, idempotencyKeys } = options
        const what: PruneOptions = {
          ...(olderThan === undefined ? {} : { olderThan }),
          ...(evenProjections === undefined ? {} : { evenProjections }),
          ...(evenStreams === undefined ? {} : { evenStreams }),
          ...(archive === undefined ? {} : { archive }),
        }
        const plan = await app.outbox.planPrune(what)
        const going = plan.filter(({ reason }) => reason === null)
        const effect = [
          describe(going, archive),
          ...(idempotencyKeys === undefined ? [] : ['forgets old idempotency keys']),
        ].join(' and ')
        if (going.length > 0 || idempotencyKeys !== undefined) {
          requireConfirmation(options.yes, `this ${effect}${stop(plan.at(-1))}`)
        }
        const { partitions, stopped } = await app.outbox.prune(what)
        const keys =
          idempotencyKeys === undefined
            ? null
            : await app.outbox.forgetIdempotencyKeys(idempotencyKeys)
        output.result({ partitions, stopped: stopped ?? null, idempotencyKeys: keys }, () => {
          const forgotten = keys === null ? '' : `, forgot ${plural(keys, 'idempotency key')}`
          return `Pruned: this ${describe(partitions, archive)}${forgotten}${stop(stopped)}.`
        })
      }),
    )
}

function describe(partitions: readonly PruneCandidate[], archive: string | undefined): string {
  const verb = archive === undefined ? 'drops' : `moves to schema "${archive}"`
  if (partitions.length === 0) return `${verb} no partition`
  const events = partitions.reduce((sum, one) => sum + (one.events ?? 0n), 0n)
  const bytes = partitions.reduce((sum, { partition }) => sum + partition.bytes, 0n)
  return `${verb} ${plural(partitions.length, 'partition')} with ${plural(events, 'event')} (${sizeOf(bytes)})`
}

function stop(candidate: PruneCandidate | undefined): string {
  return candidate === undefined || candidate.because === null
    ? ''
    : `; ${candidate.partition.name} stays: ${candidate.because}`
}
