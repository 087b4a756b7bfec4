import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkTypes } from '../docs/check-types.ts'
import { snippetsInMarkdown } from '../docs/snippet.ts'
import { missing } from '../support/install.ts'

const folder = new URL('./', import.meta.url)
const reason = await missing(folder)

test.skipIf(reason !== undefined)('the snippets of docs/orms.md compile', async () => {
  const file = 'docs/orms.md'
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
  const planted = "```ts\nimport knex from 'knex'\n\nconst one: string = knex\n```\n"
  const snippets = [...snippetsInMarkdown(file, text), ...snippetsInMarkdown('planted.md', planted)]
  expect(snippets.length).toBeGreaterThan(5)
  const found = await checkTypes(snippets, folder)
  expect(found).toEqual([{ file: 'planted.md', line: 4, message: expect.any(String) }])
})
