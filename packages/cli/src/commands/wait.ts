import { Option, type Command } from 'commander'
import type { EventSequence } from 'tidemark'
import { durationArgument, sequenceArgument } from '../arguments/arguments.ts'
import { running, type Context } from '../command-run.ts'

interface Options {
  readonly timeout: number
}

/** `tidemark wait` */
export function addWait(parent: Command, context: Context): void {
  parent
    .command('wait')
    .description('Wait until a listener or projection has handled everything up to a sequence.')
    .argument('<listener>', 'the listener or projection')
    .argument('<sequence>', 'the sequence, as publish printed it', sequenceArgument)
    .addOption(
      new Option('--timeout <duration>', 'how long at most')
        .argParser(durationArgument)
        .default(10_000, '10s'),
    )
    .action(
      running<Options, [string, EventSequence]>(
        context,
        async ({ options, session, output }, listener, sequence) => {
          const app = await session.app()
          await app.waitFor(listener, sequence, { timeout: options.timeout })
          output.result(
            { listener, sequence },
            () => `${listener} has handled sequence ${sequence}.`,
          )
        },
      ),
    )
}
