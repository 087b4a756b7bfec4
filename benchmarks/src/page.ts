import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Benchmark } from './benchmark.ts'
import { drawCharts } from './draw.ts'
import { fillRegion, reportToMarkdown, tableToMarkdown } from './markdown.ts'
import { readRecord, repository, shown, writeRecord, type BenchRecord } from './record.ts'
import { targetsTable } from './targets.ts'

const page = join(repository, 'PERFORMANCE.md')

/**
 * Puts a run into PERFORMANCE.md: keeps its results beside the page's plots, draws these, and fills its region and
 * the table of targets.
 */
export async function show(
  catalog: Readonly<Record<string, Benchmark>>,
  record: BenchRecord,
): Promise<void> {
  const benchmark = catalog[record.name]
  if (benchmark === undefined) throw new Error(`there is no benchmark "${record.name}"`)
  await writeRecord(shown, record)
  const presentation = benchmark.present(record.results)
  await drawCharts(shown, record.name, presentation.charts ?? [])
  const content = reportToMarkdown(record, presentation, 'benchmarks/plots')
  await writePage({ [record.name]: content, targets: await targetsMarkdown(catalog) })
}

/** Brings the table of targets up to date with the kept results. */
export async function showTargets(catalog: Readonly<Record<string, Benchmark>>): Promise<void> {
  await writePage({ targets: await targetsMarkdown(catalog) })
}

async function writePage(regions: Readonly<Record<string, string>>): Promise<void> {
  const text = await readFile(page, 'utf8')
  const filled = Object.entries(regions).reduce(
    (filling, [name, content]) => fillRegion(filling, name, content),
    text,
  )
  await writeFile(page, filled)
  format(page)
}

async function targetsMarkdown(catalog: Readonly<Record<string, Benchmark>>): Promise<string> {
  const reached = await Promise.all(
    Object.entries(catalog).map(async ([name, benchmark]) => {
      const record = await readRecord(shown, name)
      if (record === undefined) return []
      const { command } = record.conditions
      const { targets = [] } = benchmark.present(record.results)
      return targets.map((target) => ({ ...target, command }))
    }),
  )
  const [, table] = tableToMarkdown(targetsTable(reached.flat())).split('\n\n')
  return table ?? ''
}

// Tables are padded by the formatter that checks the page.
function format(file: string): void {
  const formatter = join(repository, 'node_modules', 'oxfmt', 'bin', 'oxfmt')
  execFileSync(process.execPath, [formatter, file], { cwd: repository, stdio: 'ignore' })
}
