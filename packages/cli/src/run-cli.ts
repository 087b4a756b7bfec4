import { CommanderError } from 'commander'
import { createColors } from 'picocolors'
import type { Context } from './command-run.ts'
import { exitCode, type ExitCode } from './exit-code.ts'
import type { CliIo } from './io.ts'
import { withoutPasswords } from './output/without-passwords.ts'
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
    json: argv.includes('--json'),
  }
  try {
    const program = await buildProgram(argv, context)
    await program.parseAsync(argv, { from: 'user' })
    return context.exitCode
  } catch (error) {
    // Commander has said what there is to say; help that was asked for is not an error.
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitCode.ok
      if (context.json) reportUsage(error, io)
      return exitCode.usage
    }
    return await report(error, context)
  }
}

function reportUsage({ message }: CommanderError, io: CliIo): void {
  const shown = {
    code: 'USAGE',
    message: withoutPasswords(message.replace(/^error: /u, '')),
    exitCode: exitCode.usage,
  }
  io.stderr(`${JSON.stringify({ error: shown })}\n`)
}

/** Says what went wrong: in words, or as one JSON object on stderr where results are JSON. */
async function report(error: unknown, { io, session, verbose, json }: Context): Promise<ExitCode> {
  const { explain } = await import('./explain.ts')
  const explained = explain(error, session?.knownSchema ?? 'tidemark')
  const { code, message, particulars, hint, exitCode: answer, stack, details } = explained
  if (json) {
    const { toJson } = await import('./output/output.ts')
    const shown = { code, message, hint, particulars, details, ...(verbose ? { stack } : {}) }
    io.stderr(`${toJson({ error: { ...shown, exitCode: answer } })}\n`)
    return answer
  }
  const { cell } = await import('./output/output.ts')
  const colors = createColors(io.colors.stderr)
  io.stderr(`${colors.red('error:')} ${message}\n`)
  for (const particular of particulars) io.stderr(`  ${cell(particular)}\n`)
  if (hint !== undefined) io.stderr(`${colors.cyan('hint:')} ${hint}\n`)
  if (verbose) io.stderr(`${stack}\n`)
  return answer
}
