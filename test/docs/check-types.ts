import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { givenNames, preludeOf } from './given-names.ts'
import type { Snippet } from './snippet.ts'

/** Something that the compiler says about a snippet. */
export interface Diagnostic {
  readonly file: string
  readonly line: number
  readonly message: string
}

const root = new URL('../../', import.meta.url)
const decorators = {
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
  erasableSyntaxOnly: false,
}

/**
 * Compiles the snippets against the sources, as strictly as the repository compiles itself, with one run of the
 * compiler for all that can share it: one that declares a module changes the types of all others.
 *
 * @param within - the folder whose packages they see.
 */
export async function checkTypes(
  snippets: readonly Snippet[],
  within: URL = new URL('test/', root),
): Promise<Diagnostic[]> {
  // In the repository, so that packages resolve as they do for its own code; `dist` is ignored everywhere.
  const dist = fileURLToPath(new URL('dist/', within))
  await mkdir(dist, { recursive: true })
  const directory = await mkdtemp(join(dist, 'snippets-'))
  try {
    const names = givenNames(root)
    const isAlone = ({ code }: Snippet): boolean => code.includes('declare module')
    const shared = snippets.filter((snippet) => !isAlone(snippet) && !isDecorated(snippet))
    const programs = [
      shared,
      snippets.filter(isDecorated),
      ...snippets.filter(isAlone).map((one) => [one]),
    ].filter((program) => program.length > 0)
    const diagnostics = await Promise.all(
      programs.map((program, index) => compile(join(directory, String(index)), program, names)),
    )
    return diagnostics.flat()
  } finally {
    await rm(directory, { recursive: true })
  }
}

/** Whether it is compiled as Nest's users compile: with the decorators that came before the standard's. */
function isDecorated({ code }: Snippet): boolean {
  return code.includes("from '@nestjs/")
}

async function compile(
  directory: string,
  snippets: readonly Snippet[],
  names: ReadonlyMap<string, string>,
): Promise<Diagnostic[]> {
  await mkdir(directory)
  const config = {
    extends: relative(directory, fileURLToPath(new URL('tsconfig.base.json', root))),
    compilerOptions: {
      noEmit: true,
      composite: false,
      incremental: false,
      tsBuildInfoFile: null,
      // A snippet shows how to make something, and leaves out what is done with it.
      noUnusedLocals: false,
      noUnusedParameters: false,
      ...(snippets.every(isDecorated) ? decorators : {}),
    },
    include: ['**/*.ts'],
  }
  await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(config))
  const paths = snippets.map(pathOf)
  await Promise.all(
    snippets.map(async ({ code }, index) => {
      const path = join(directory, paths[index] as string)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, `${preludeOf(code, names)}\n${code}`)
    }),
  )
  const { output, failed } = await tsc(directory)
  const diagnostics = [
    ...output.matchAll(/^(?<path>\S+?\.ts)\((?<line>\d+),\d+\): (?<message>.*)$/gmu),
  ]
    .map((match) => match.groups as { path: string; line: string; message: string })
    .map(({ path, line, message }): Diagnostic => {
      const snippet = snippets[paths.indexOf(path)] as Snippet
      // Line 1 of the file is the prelude; what it says wrong concerns the snippet as a whole.
      const within = Math.max(0, Number(line) - 2)
      return { file: snippet.file, line: snippet.line + within, message }
    })
  // `npm run check:types` reports errors in the sources; one of the set-up must not look like success.
  const other = output.split('\n').filter((line) => line.startsWith('error TS'))
  if (failed && (other.length > 0 || output.trim() === '')) {
    throw new Error(`The compiler failed:\n${output}`)
  }
  return diagnostics
}

/** Where a snippet is compiled: one that says which file of an application it is, where others of its page look for it. */
function pathOf({ code }: Snippet, index: number): string {
  return /^\/\/ (?<path>(?:src|test)\/\S+\.ts)\n/u.exec(code)?.groups?.['path'] ?? `${index}.ts`
}

function tsc(directory: string): Promise<{ output: string; failed: boolean }> {
  const command = fileURLToPath(new URL('node_modules/.bin/tsc', root))
  return new Promise((resolve) => {
    execFile(
      command,
      ['-p', '.', '--pretty', 'false'],
      { cwd: directory },
      (error, stdout, stderr) => {
        resolve({ output: `${stdout}${stderr}`, failed: error !== null })
      },
    )
  })
}
