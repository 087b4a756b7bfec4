import { Command, Option } from 'commander'
import type { AddCommand } from './add-command.ts'
import type { Context } from './command-run.ts'
import { withoutPasswords } from './output/without-passwords.ts'
import { packageVersion } from './package-version.ts'

/** A command of the first level: its modules are loaded when it is called, or when all are to be shown. */
interface Entry {
  readonly name: string
  /** Of a group of commands. */
  readonly description?: string
  readonly load: () => Promise<readonly AddCommand[]>
}

const entries: readonly Entry[] = [
  { name: 'init', load: async () => [(await import('./commands/init.ts')).addInit] },
  { name: 'generate', load: async () => [(await import('./commands/generate.ts')).addGenerate] },
  {
    name: 'migrate',
    description: "Create Tidemark's tables and bring them up to date.",
    load: async () => (await import('./commands/migrate/index.ts')).commands,
  },
  { name: 'dev', load: async () => [(await import('./commands/dev.ts')).addDev] },
  { name: 'worker', load: async () => [(await import('./commands/worker.ts')).addWorker] },
  { name: 'publish', load: async () => [(await import('./commands/publish.ts')).addPublish] },
  {
    name: 'event',
    description: 'Read the outbox.',
    load: async () => (await import('./commands/event/index.ts')).commands,
  },
  {
    name: 'outbox',
    description: 'Look at the outbox as a whole, and keep it small.',
    load: async () => (await import('./commands/outbox/index.ts')).commands,
  },
  {
    name: 'stream',
    description: 'Read one stream.',
    load: async () => (await import('./commands/stream/index.ts')).commands,
  },
  {
    name: 'listener',
    description: 'Look at listeners and steer them; a projection is one too.',
    load: async () => (await import('./commands/listener/index.ts')).commands,
  },
  {
    name: 'projection',
    description: 'Look at projections and derive them anew.',
    load: async () => (await import('./commands/projection/index.ts')).commands,
  },
  {
    name: 'relay',
    description: 'Look at relays and intakes, and compare streams with the outbox.',
    load: async () => (await import('./commands/relay/index.ts')).commands,
  },
  {
    name: 'dead-letter',
    description: 'Look at events that listeners have set aside, and decide about them.',
    load: async () => (await import('./commands/dead-letter/index.ts')).commands,
  },
  {
    name: 'job',
    description: 'Look at jobs, spawn them and steer them.',
    load: async () => (await import('./commands/job/index.ts')).commands,
  },
  {
    name: 'queue',
    description: 'Pause queues and types of jobs.',
    load: async () => (await import('./commands/queue/index.ts')).commands,
  },
  {
    name: 'schedule',
    description: 'Look at schedules and steer them.',
    load: async () => (await import('./commands/schedule/index.ts')).commands,
  },
  {
    name: 'process',
    description: 'Look at the processes that run listeners and jobs.',
    load: async () => (await import('./commands/process/index.ts')).commands,
  },
  {
    name: 'audit',
    description: 'Look at who changed what.',
    load: async () => (await import('./commands/audit/index.ts')).commands,
  },
  {
    name: 'state',
    description: 'Serve state to other processes of this machine.',
    load: async () => (await import('./commands/state/index.ts')).commands,
  },
  { name: 'wait', load: async () => [(await import('./commands/wait.ts')).addWait] },
  { name: 'doctor', load: async () => [(await import('./commands/doctor.ts')).addDoctor] },
  { name: 'console', load: async () => [(await import('./commands/console.ts')).addConsole] },
  { name: 'bench', load: async () => [(await import('./commands/bench.ts')).addBench] },
]

const valued: ReadonlySet<string> = new Set(['--database-url', '--schema', '--config'])

/**
 * The command line, ready to parse the arguments: with the command that they name, or with all when they name none. Loading
 * a command takes longer than what most of them do.
 */
export async function buildProgram(argv: readonly string[], context: Context): Promise<Command> {
  const program = emptyProgram(context)
  if (named(argv) === undefined && argv.some((text) => text === '-V' || text === '--version')) {
    return program
  }
  const known = entries.find(({ name }) => name === named(argv))
  for (const { name, description, load } of known === undefined ? entries : [known]) {
    const parent =
      description === undefined
        ? program
        : program.command(name).description(description).helpCommand(false)
    for (const add of await load()) add(parent, context)
  }
  return program.helpCommand(false)
}

/** The first argument that is neither an option nor the value of one. */
function named(argv: readonly string[]): string | undefined {
  return argv.find((text, index) => {
    if (text.startsWith('-')) return false
    return index === 0 || !valued.has(argv[index - 1] ?? '')
  })
}

function emptyProgram({ io, json }: Context): Command {
  return new Command('tidemark')
    .description('Migrate, run and look after a Tidemark outbox.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .configureOutput({
      writeOut: io.stdout,
      // What is wrong with a call is one object of JSON then, and no prose beside it.
      writeErr: json ? () => {} : (text) => io.stderr(withoutPasswords(text)),
      getOutHelpWidth: () => 100,
      getErrHelpWidth: () => 100,
      getOutHasColors: () => io.colors.stdout,
      getErrHasColors: () => io.colors.stderr,
    })
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .addOption(
      new Option('--database-url <url>', 'the database; before the config, DATABASE_URL and PG*'),
    )
    .addOption(new Option('--schema <name>', "the schema of Tidemark's tables; before the config"))
    .addOption(
      new Option('--config <path>', 'the config, instead of the nearest tidemark.config.ts'),
    )
    .addOption(new Option('--no-config', 'use no config'))
    .addOption(new Option('--json', 'print results as JSON'))
    .addOption(new Option('--verbose', 'print the stack of an error'))
}
