import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { Argument, type Command } from 'commander'
import { CliError, usageError } from '../cli-error.ts'
import { running, type Context } from '../command-run.ts'
import { generatedFile, kinds, type Kind } from '../project/generated-file.ts'

interface Options {
  readonly out?: string
}

/** `tidemark generate` */
export function addGenerate(parent: Command, context: Context): void {
  parent
    .command('generate')
    .description(
      'Write the definition of an event, a listener, a projection or a job, to begin with. Overwrites nothing.',
    )
    .addArgument(new Argument('<kind>', 'what it is').choices([...kinds]))
    .argument('<name>', 'its name, for instance orders.placed: its module and itself')
    .option('--out <file>', 'where (default: <module>/<name>.ts beside the config)')
    .action(
      running<Options, [Kind, string]>(
        context,
        async ({ options, session, output, io }, kind, name) => {
          if (!/^[a-z][\w-]*(?:\.[a-z][\w-]*)+$/iu.test(name)) {
            throw usageError(
              `"${name}" does not name a ${kind} of a module`,
              'Name the module and the thing, as in orders.placed.',
            )
          }
          const config = await session.config().catch(() => undefined)
          const root = config === undefined ? io.cwd : dirname(resolve(io.cwd, config.path))
          const { path, text, next } = generatedFile(kind, name)
          const file = options.out === undefined ? join(root, path) : resolve(io.cwd, options.out)
          const shown = relative(io.cwd, file)
          if (existsSync(file)) {
            throw new CliError(`${shown} exists already`, {
              hint: 'Nothing was written. Name another file with --out.',
            })
          }
          await mkdir(dirname(file), { recursive: true })
          await writeFile(file, text, { flag: 'wx' })
          output.result({ written: shown }, () => `wrote ${shown}`)
          output.note(next)
        },
      ),
    )
}
