import type { Command } from 'commander'
import type { EventSequence } from 'tidemark'
import { CliError, usageError } from '../../cli-error.ts'
import { running, type Context } from '../../command-run.ts'
import { streamOf } from '../../output/event-table.ts'
import { toJson } from '../../output/output.ts'

const uuid = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/iu

/** `tidemark event show` */
export function addEventShow(parent: Command, context: Context): void {
  parent
    .command('show')
    .description('Show one event with all that is stored of it.')
    .argument('<event>', 'its sequence, or its id (which no index serves: slow in a large outbox)')
    .action(
      running<object, [string]>(context, async ({ session, output }, which) => {
        const by = uuid.test(which) ? { id: which } : { sequence: parseSequence(which) }
        const app = await session.app()
        const event = await app.outbox.inspectEvent(by)
        if (event === undefined) {
          throw new CliError(`there is no event ${which}`, {
            hint: 'Sequences have gaps: a transaction that rolled back has used some up.',
          })
        }
        const { stream: _, streamVersion: __, payload, payloadMeta, metadata, ...facts } = event
        output.result(event, () =>
          [
            output.facts({ ...facts, stream: streamOf(event), metadata, payloadMeta }),
            toJson(payload, 2),
          ].join('\n\n'),
        )
      }),
    )
}

function parseSequence(text: string): EventSequence {
  if (/^\d{1,18}$/u.test(text)) return BigInt(text) as EventSequence
  throw usageError(`"${text}" is neither a sequence nor the id of an event`)
}
