import type { Command } from 'commander'
import { outcomeOfError } from 'tidemark'
import { CliError } from './cli-error.ts'
import type { ExitCode } from './exit-code.ts'
import type { CliIo } from './io.ts'
import { Output } from './output/output.ts'
import { Session, type GlobalOptions } from './session/session.ts'
import { steeringOf } from './steering.ts'

/** What the commands of one call share. */
export interface Context {
  readonly io: CliIo
  /** What the command answered, where it is not 0. */
  exitCode: ExitCode
  /** What the command worked with: for explaining its error. */
  session: Session | undefined
  verbose: boolean
  /** Whether results and errors are JSON. */
  readonly json: boolean
}

/** What a command works with. */
export interface Run<Options> {
  readonly options: Options & GlobalOptions
  readonly session: Session
  readonly output: Output
  readonly io: CliIo
}

/**
 * Makes the action of a command: it gets the command's arguments and options, and answers an exit code where that
 * is not 0. What changes something is recorded, and connections that it opened are closed behind it.
 */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- commander knows arguments by their order only: the command says what they are
export function running<Options, Arguments extends unknown[]>(
  context: Context,
  work: (run: Run<Options>, ...positional: Arguments) => Promise<ExitCode | void>,
): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const command = given.at(-1) as Command
    const options = command.optsWithGlobals<Options & GlobalOptions>()
    await using session = new Session(context.io, options, steeringOf(command))
    context.session = session
    const output = new Output(context.io, options.json === true)
    const positional = given.slice(0, -2) as Arguments
    try {
      const answer = await work({ options, session, output, io: context.io }, ...positional)
      await session.ended({ outcome: 'done', result: answer === undefined ? {} : { exit: answer } })
      if (answer !== undefined) context.exitCode = answer
    } catch (error) {
      // What was not confirmed, say.
      await session.ended(
        error instanceof CliError ? { outcome: 'refused' } : outcomeOfError(error),
      )
      throw error
    }
  }
}
