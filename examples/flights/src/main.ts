/** `npm start`: real flights, two workers, one killed, every figure checked. */
import colors from 'picocolors'
import { say } from './frame.ts'
import { abortOnSignals, Interruption } from './interruption.ts'
import { readOptions, usage, type Options } from './options.ts'
import { run, type Report } from './run.ts'
import { openView } from './view.ts'

// The exit codes of the tidemark command.
const exitCodes = { failure: 1, usage: 2 } as const

function parse(args: string[]): Options | undefined {
  try {
    const options = readOptions(args)
    if (options !== undefined) return options
    process.stdout.write(usage)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`)
    process.exitCode = exitCodes.usage
  }
  return undefined
}

function print({ file, flights, rollbacks, seconds, findings }: Report): void {
  const lines = findings.flatMap(({ what, figures, differences }) => {
    const agrees = differences.length === 0
    const mark = agrees ? colors.green('✓') : colors.red('✗')
    const verdict = agrees ? 'agree' : `agree but for ${say(differences.length)}`
    const worst = differences.slice(0, 5).map((difference) => `      ${difference}`)
    return [`  ${mark} ${what.padEnd(22)}${say(figures).padStart(7)} figures ${verdict}`, ...worst]
  })
  const wrong = findings.filter(({ differences }) => differences.length > 0).length
  const figures = findings.reduce((sum, finding) => sum + finding.figures, 0)
  const summary =
    wrong === 0
      ? colors.green(`Check passed: all ${say(figures)} figures agree with the raw file.`)
      : colors.red(`Check failed: ${wrong} of ${findings.length} differ from the raw file.`)
  process.stdout.write(`
${say(flights)} flights were published and handled in ${seconds.toFixed(1)} s,
${say(rollbacks)} transactions were rolled back and tried again, one worker was killed.

Compared with ${file}:
${lines.join('\n')}

${summary}
`)
  if (wrong > 0) process.exitCode = exitCodes.failure
}

async function main(): Promise<void> {
  const options = parse(process.argv.slice(2))
  if (options === undefined) return
  const abort = new AbortController()
  const restoreSignals = abortOnSignals(abort)
  const view = openView(process.stdout)
  try {
    await run(options, view, print, abort)
  } catch (error) {
    // Once it is aborted, whatever else fails only fails because of that.
    const reason: unknown = abort.signal.aborted ? abort.signal.reason : error
    view.end()
    if (reason instanceof Interruption) {
      view.note(`${reason.message}; nothing is left behind`)
      restoreSignals()
      process.kill(process.pid, reason.signal)
      return
    }
    console.error(reason)
    process.exitCode = exitCodes.failure
  } finally {
    restoreSignals()
  }
}

await main()
