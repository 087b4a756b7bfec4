import type { Command } from 'commander'
import type { EventSequence, SkippedEvent } from 'tidemark'
import { sequenceArgument } from '../../arguments/arguments.ts'
import { CliError, requireConfirmation } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { getListener } from '../../output/listener-view.ts'

interface Options {
  readonly sequence?: EventSequence
  readonly yes?: boolean
}

/** `tidemark listener skip` */
export function addListenerSkip(parent: Command, context: Context): void {
  parent
    .command('skip')
    .description(
      'Let a halted listener pass the event that it halted on, and go on with the next. The event is recorded as a dead letter that was given up.',
    )
    .argument('<name>', 'the listener or projection')
    .option(
      '--sequence <sequence>',
      'only if it halted on this event (default: whatever it halted on, in each partition)',
      sequenceArgument,
    )
    .option('--yes', 'do it')
    .action(
      running<Options, [string]>(context, async ({ options, session, output }, name) => {
        const app = await session.app()
        const { partitions } = await getListener(app, name)
        const halted = partitions
          .filter(({ haltedAt }) => haltedAt !== null)
          .flatMap(({ failedSequence }) => failedSequence ?? [])
          .filter((sequence) => options.sequence === undefined || sequence === options.sequence)
        if (halted.length === 0) {
          const on = options.sequence === undefined ? 'an event' : `event ${options.sequence}`
          throw new CliError(`${name} has not halted on ${on}`, {
            hint: `Look at it with \`tidemark listener show ${name}\`.`,
          })
        }
        const list = halted.join(', ')
        requireConfirmation(
          options.yes,
          `${name} would never handle event${halted.length === 1 ? '' : 's'} ${list}`,
        )
        // One by one, by what was said: another event that it halts on meanwhile is not skipped.
        const skipped: SkippedEvent[] = []
        for (const sequence of halted) {
          skipped.push(...(await app.listeners.skip(name, sequence)))
        }
        output.result({ name, skipped }, () =>
          [
            ...skipped.map(({ sequence, type }) => `${name} skipped event ${sequence} (${type}).`),
            `\`tidemark dead-letter retry ${name} ${halted[0]}\` has it handled after all.`,
          ].join('\n'),
        )
      }),
    )
}
