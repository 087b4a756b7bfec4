import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Snippet } from './snippet.ts'

/** What came of a snippet that ran. */
export interface Outcome {
  /** The lines that it printed, on stdout and stderr. */
  readonly printed: readonly string[]
  readonly exitCode: number | null
}

const dist = new URL('../dist/', import.meta.url)

/** Runs a snippet exactly as it is printed, in a process of its own. */
export async function runSnippet(snippet: Snippet, databaseUrl: string): Promise<Outcome> {
  await mkdir(dist, { recursive: true })
  const directory = await mkdtemp(join(fileURLToPath(dist), 'run-'))
  try {
    const file = join(directory, 'snippet.ts')
    await writeFile(file, snippet.code)
    return await new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        ['--conditions=@tidemark/source', file],
        { env: { ...process.env, DATABASE_URL: databaseUrl, NO_COLOR: '1' }, timeout: 30_000 },
        (_, stdout, stderr) => {
          const printed = `${stdout}${stderr}`.trimEnd().split('\n')
          resolve({ printed, exitCode: child.exitCode })
        },
      )
    })
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** The lines that a snippet says it prints: in a comment behind each `console.log(…)`. */
export function promisedLines({ code }: Snippet): string[] {
  return [...code.matchAll(/^\s*console\.log\(.*\) \/\/ (?<line>.*)$/gmu)].map(
    (match) => match.groups?.['line'] ?? '',
  )
}
