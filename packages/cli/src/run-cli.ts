import { CommanderError } from 'commander'
import { createColors } from 'picocolors'
import type { Context } from './command-run.ts'
import { exitCode, type ExitCode } from './exit-code.ts'
import { explain } from './explain.ts'
import type { CliIo } from './io.ts'
import { cell } from './output.ts'
import { buildProgram } from './program.ts'

/**
 * Runs one command.
 *
 * @param argv - the arguments, without the interpreter and the script.
 * @returns what the process should answer; it throws nothing.
 *
 * @example
 * ```ts
 * import { processIo, runCli } from '@tidemark/cli'
 *
 * process.exitCode = await runCli(['migrate', 'status'], processIo())
 * ```
 */
export async function runCli(argv: readonly string[], io: CliIo): Promise<ExitCode> {
  const context: Context = {
    io,
    exitCode: exitCode.ok,
    session: undefined,
    verbose: argv.includes('--verbose'),
  }
  try {
    await buildProgram(context).parseAsync(argv, { from: 'user' })
    return context.exitCode
  } catch (error) {
    // Commander has said what there is to say; help that was asked for is not an error.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.ok : exitCode.usage
    return report(error, context)
  }
}

function report(error: unknown, { io, session, verbose }: Context): ExitCode {
  const colors = createColors(io.colors.stderr)
  const explained = explain(error, session?.knownSchema ?? 'tidemark')
  const { message, particulars, hint, exitCode: code, stack } = explained
  io.stderr(`${colors.red('error:')} ${message}\n`)
  for (const particular of particulars) io.stderr(`  ${cell(particular)}\n`)
  if (hint !== undefined) io.stderr(`${colors.cyan('hint:')} ${hint}\n`)
  if (verbose) io.stderr(`${stack}\n`)
  return code
}
