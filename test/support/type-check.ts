import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))
const compiler = join(root, 'node_modules/.bin/tsc')
const execute = promisify(execFile)
let built: Promise<unknown> | undefined

/**
 * What the compiler says of a project that Tidemark is installed in, with the project's own settings: nothing when it holds.
 * It sees the types of the packages as they are published, not their sources, which it would check anew for each project.
 */
export async function typeCheck(folder: string): Promise<string> {
  const packages = ['console', 'http', 'testing'].map((name) => `packages/${name}`)
  built ??= execute(compiler, ['-b', ...packages], { cwd: root })
  await built
  return execute(compiler, [], { cwd: folder }).then(
    ({ stdout }) => stdout,
    ({ stdout }: { readonly stdout: string }) => stdout,
  )
}
