import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { discover } from 'tidemark'
import { expect, test } from 'vitest'

/** A directory with these files, gone afterwards. */
async function directory(
  files: Readonly<Record<string, string>>,
): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'discover-'))
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(path, name)), { recursive: true })
    await writeFile(join(path, name), text)
  }
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) }
}

const library = JSON.stringify(new URL('../../packages/core/src/index.ts', import.meta.url).href)
const imports = `const { defineEvent, defineListener } = await import(${library})\n`
const listener = (name: string): string =>
  `${imports}export const listener = defineListener('${name}')\n`

test('modules are found by a glob, in the order of their paths', async () => {
  await using files = await directory({
    'modules/b/module.mjs': listener('b'),
    'modules/a/module.mjs': listener('a'),
    'modules/a/other.mjs': 'throw new Error("not asked for")',
  })
  const modules = await discover('modules/*/module.mjs', { from: files.path })
  expect(modules.map((module) => (module as { listener: { name: string } }).listener.name)).toEqual(
    ['a', 'b'],
  )
  const twice = ['modules/a/module.mjs', 'modules/*/module.mjs']
  expect(await discover(twice, { from: files.path })).toHaveLength(2)
})

test('a file that defines nothing, one that fails, and a pattern without a match are named', async () => {
  await using files = await directory({
    'empty.mjs': 'export const nothing = 1',
    'broken.mjs': 'throw new TypeError("not today")',
  })
  const from = files.path
  await expect(discover('empty.mjs', { from })).rejects.toThrow(/empty\.mjs exports no event/u)
  await expect(discover('broken.mjs', { from })).rejects.toThrow(
    /broken\.mjs could not be loaded: not today/u,
  )
  await expect(discover('none/*.mjs', { from })).rejects.toThrow(/no file matches none/u)
  await expect(discover('*.mjs', { form: from } as never)).rejects.toThrow(/no option "form"/u)
})

test('two files that define one name are both named; one definition that two files export is fine', async () => {
  await using files = await directory({
    'one.mjs': listener('same'),
    'two.mjs': listener('same'),
    'shared.mjs': listener('shared'),
    'again.mjs': `export { listener } from './shared.mjs'`,
  })
  const from = files.path
  await expect(discover('{one,two}.mjs', { from })).rejects.toMatchObject({
    code: 'TIDEMARK_NAME_TAKEN',
    message: expect.stringContaining('one.mjs and two.mjs both define'),
  })
  expect(await discover('{shared,again}.mjs', { from })).toHaveLength(2)
})
