import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { catalog } from '../src/catalog.ts'
import { draw } from '../src/draw.ts'
import { fillRegion, tableToMarkdown } from '../src/markdown.ts'
import { readRecord, repository, shown, toJson } from '../src/record.ts'

const page = await readFile(join(repository, 'PERFORMANCE.md'), 'utf8')

describe('PERFORMANCE.md', () => {
  it.each(['targets', ...Object.keys(catalog)])('has a region for "%s"', (name) => {
    expect(fillRegion(page, name, 'content')).toContain(
      `<!-- bench:${name} -->\n\ncontent\n\n<!-- /bench:${name} -->`,
    )
  })

  it('shows the plots that its results draw, and no others', async () => {
    const drawn = new Map<string, string>()
    for (const [name, benchmark] of Object.entries(catalog)) {
      const record = await readRecord(shown, name)
      const charts = record === undefined ? [] : (benchmark.present(record.results).charts ?? [])
      for (const chart of charts) drawn.set(`${name}-${chart.name}.svg`, await draw(chart))
    }
    const files = (await readdir(shown)).filter((file) => file.endsWith('.svg'))
    const kept = files.map(
      async (file) => [file, await readFile(join(shown, file), 'utf8')] as const,
    )
    expect(new Map(await Promise.all(kept))).toEqual(drawn)
    const linked = [...page.matchAll(/\(benchmarks\/plots\/([^)]+\.svg)\)/gu)].map(
      ([, file]) => file,
    )
    expect(new Set(linked)).toEqual(new Set(files))
  })
})

describe('a region', () => {
  const text =
    'before\n<!-- bench:a -->old<!-- /bench:a -->\nafter <!-- bench:b -->b<!-- /bench:b -->'

  it('is replaced, and nothing else is', () => {
    expect(fillRegion(text, 'a', 'new')).toBe(
      'before\n<!-- bench:a -->\n\nnew\n\n<!-- /bench:a -->\nafter <!-- bench:b -->b<!-- /bench:b -->',
    )
  })

  it('is the same when it is filled again', () => {
    const once = fillRegion(text, 'b', 'x $& y')
    expect(fillRegion(once, 'b', 'x $& y')).toBe(once)
    expect(once).toContain('x $& y')
  })

  it('that is not there is named', () => {
    expect(() => fillRegion(text, 'c', '')).toThrow('<!-- bench:c -->')
  })
})

describe('a table in Markdown', () => {
  it('has figures to the right and words to the left', () => {
    const table = {
      title: 'rates',
      columns: ['case', 'rate', 'ratio', 'range'],
      rows: [
        ['a|b', '1,234', '0.50 (0.40 – 0.60)', '1 – 2'],
        ['c', '5', '', ''],
      ],
    }
    expect(tableToMarkdown(table)).toBe(
      [
        'Rates:',
        '',
        '| case | rate | ratio | range |',
        '| --- | ---: | ---: | ---: |',
        '| a\\|b | 1,234 | 0.50 (0.40 – 0.60) | 1 – 2 |',
        '| c | 5 |  |  |',
      ].join('\n'),
    )
  })
})

describe('results as JSON', () => {
  it('have a line for each list of numbers, and are the same when they are read', () => {
    const results = { rates: [1, -2.5, 3e-7], names: ['a', 'b'], rows: [[1], []], text: '[ 1, 2 ]' }
    expect(JSON.parse(toJson(results))).toEqual(results)
    expect(toJson(results)).toContain('"rates": [1, -2.5, 3e-7]')
  })
})
