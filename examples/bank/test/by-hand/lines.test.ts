import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'

/** Lines with code on them. What both versions use (events, rules, tables of the business) is in neither. */
async function linesOf(...files: readonly string[]): Promise<number> {
  const counts = files.map(async (file) => {
    const source = await readFile(new URL(`../../${file}`, import.meta.url), 'utf8')
    const code = source.replaceAll(/\/\*[^]*?\*\//gu, '').split('\n')
    return code.filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length
  })
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}

test('with Tidemark each takes at most half the lines that it takes by hand, and so do all together', async () => {
  const shared = await linesOf('by-hand/outbox.ts')
  const parts = {
    dashboard: {
      tidemark: await linesOf('src/dashboard/dashboard.ts'),
      own: await linesOf('by-hand/dashboard.ts'),
    },
    approval: {
      tidemark: await linesOf('src/credit/approval.ts'),
      own: await linesOf('by-hand/approval.ts'),
    },
    letters: {
      tidemark: await linesOf(
        'src/notifications/letters.ts',
        'src/notifications/deliver-letter.ts',
      ),
      own: await linesOf('by-hand/letters.ts', 'by-hand/deliver-letter.ts'),
    },
  }
  const all = Object.values(parts)
  const together = {
    tidemark: all.reduce((sum, { tidemark }) => sum + tidemark, 0),
    own: all.reduce((sum, { own }) => sum + own, 0),
  }
  for (const [name, { tidemark, own }] of Object.entries({ ...parts, together })) {
    const byHand = own + shared
    console.log(
      `${name}: ${tidemark} lines with Tidemark, ${byHand} by hand (${own} and ${shared} shared)`,
    )
    expect(tidemark, name).toBeLessThanOrEqual(byHand / 2)
  }
})
