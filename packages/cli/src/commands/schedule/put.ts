import { Option, type Command } from 'commander'
import { parseJson as parseExactly } from 'tidemark'
import { parseJson } from '../../arguments/json-argument.ts'
import { running, type Context } from '../../command-run.ts'

interface Options {
  readonly cron: string
  readonly timeZone?: string
  readonly job: string
  readonly overlap?: 'skip' | 'allow'
  readonly catchUp?: 'none' | 'last' | 'all'
}

/** `tidemark schedule put` */
export function addSchedulePut(parent: Command, context: Context): void {
  parent
    .command('put')
    .description(
      'Make a schedule at run time, or change one that was. The definition of its job comes from the config.',
    )
    .argument('<name>', 'the schedule')
    .argument('[input]', 'what its job is given each time, as JSON; - reads it from stdin', 'null')
    .requiredOption('--cron <expression>', 'five fields, six with the seconds first, or @daily')
    .requiredOption('--job <name>', 'the type of the job')
    .option('--time-zone <name>', 'as in Europe/Berlin (default: UTC)')
    .addOption(
      new Option(
        '--overlap <policy>',
        'what a tick does while the last job runs (default: skip)',
      ).choices(['skip', 'allow']),
    )
    .addOption(
      new Option(
        '--catch-up <policy>',
        'which of the ticks fire that passed while nobody was there (default: last)',
      ).choices(['none', 'last', 'all']),
    )
    .action(
      running<Options, [string, string]>(
        context,
        async ({ options, session, output, io }, name, given) => {
          const { cron, job, timeZone, overlap, catchUp } = options
          const text = given === '-' ? await io.stdin() : given
          const input = parseJson('the input', text, parseExactly)
          const { schedules } = (await session.configuredApp()).jobs
          await schedules.putJson(name, {
            cron,
            job,
            input,
            ...(timeZone === undefined ? {} : { timeZone }),
            ...(overlap === undefined ? {} : { overlap }),
            ...(catchUp === undefined ? {} : { catchUp }),
          })
          const view = await schedules.get(name)
          output.result(view, () =>
            view.nextAt === null
              ? `${name} never fires.`
              : `${name} fires next at ${view.nextAt.toISOString()}.`,
          )
        },
      ),
    )
}
