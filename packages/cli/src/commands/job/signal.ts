import type { Command } from 'commander'
import { parseJson } from '../../arguments/json-argument.ts'
import { running, type Context } from '../../command-run.ts'

/** `tidemark job signal` */
export function addJobSignal(parent: Command, context: Context): void {
  parent
    .command('signal')
    .description('Tell a job something. It is kept until the job asks with `ctx.waitForSignal`.')
    .argument('<id>', 'the job')
    .argument('<name>', 'the name of the signal')
    .argument('[payload]', 'what it carries as JSON; - reads it from standard input', 'null')
    .action(
      running<object, [string, string, string]>(
        context,
        async ({ session, output, io }, id, name, given) => {
          const payload = parseJson('the payload', given === '-' ? await io.stdin() : given)
          const app = await session.app()
          await app.jobs.signal(id, name, payload)
          output.result({ id, signal: name }, () => `Told ${id}: ${name}.`)
        },
      ),
    )
}
