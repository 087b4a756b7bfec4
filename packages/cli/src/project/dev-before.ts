import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { CliIo } from '../io.ts'

/**
 * Runs a command of the application's own on the database of `tidemark dev`.
 *
 * @returns what went wrong, or undefined.
 */
export async function runBefore(
  io: CliIo,
  command: string,
  url: string,
  stopped: AbortSignal,
): Promise<string | undefined> {
  const child = spawn(command, {
    shell: true,
    cwd: io.cwd,
    env: { ...io.env, DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: stopped,
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => io.stderr(text))
  }
  try {
    const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
    if (code === 0 || stopped.aborted) return undefined
    return `\`${command}\` ended with ${signal ?? `exit code ${code}`}`
  } catch (error) {
    if (stopped.aborted) return undefined
    return `\`${command}\` could not be run: ${(error as Error).message}`
  }
}
