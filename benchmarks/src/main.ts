import type { Benchmark } from './benchmark.ts'
import { catalog } from './catalog.ts'
import { drawCharts } from './draw.ts'
import { flagOf, helpText } from './help.ts'
import { reportToMarkdown } from './markdown.ts'
import {
  defaultOptions,
  parseRequest,
  UsageError,
  type BenchOptions,
  type Request,
} from './options.ts'
import { show, showTargets } from './page.ts'
import {
  conditions,
  latest,
  readRecord,
  shown,
  toJson,
  writeRecord,
  type BenchRecord,
} from './record.ts'
import { render } from './report.ts'
import { startServer } from './server.ts'

const say = (line: string): void => void process.stderr.write(`${line}\n`)
const print = (text: string): void => void process.stdout.write(text)

const benchmarkOf = (name: string): Benchmark => catalog[name] as Benchmark

async function measure(request: Extract<Request, { kind: 'measure' }>): Promise<void> {
  for (const name of request.names) {
    try {
      await measureOne(name, request)
    } catch (error) {
      // What comes after it can still be measured.
      process.exitCode = 1
      say(`${name} FAILED: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
}

async function measureOne(
  name: string,
  request: Extract<Request, { kind: 'measure' }>,
): Promise<void> {
  const folder = request.out ?? latest
  const record = await run(name, request.options)
  const presentation = benchmarkOf(name).present(record.results)
  const file = await writeRecord(folder, record)
  await drawCharts(folder, name, presentation.charts ?? [])
  print(request.json ? toJson(record) : `${render(record, presentation)}\n`)
  say(`results and plots: ${file}; took ${record.seconds} s`)
  const { failures = [] } = presentation
  for (const failure of failures) say(`${name} FAILED: ${failure}`)
  if (failures.length > 0) process.exitCode = 1
  if (request.write) await show(catalog, record)
}

async function run(name: string, asked: Partial<BenchOptions>): Promise<BenchRecord> {
  const benchmark = benchmarkOf(name)
  const options = { ...defaultOptions, ...benchmark.defaults, ...asked }
  say(`── ${name}`)
  await using server = await startServer(benchmark.settings, options.commitDelays[0] ?? 0)
  const where = conditions(commandOf(name, asked), server.version)
  const started = performance.now()
  const results = await benchmark.run({ options, server, progress: say })
  const seconds = Math.round((performance.now() - started) / 1000)
  return { name, conditions: where, options, seconds, results }
}

/** The command that runs one benchmark as this run does. */
function commandOf(name: string, asked: Partial<BenchOptions>): string {
  const options = Object.entries(asked).map(([option, value]) => {
    const text = String(value)
    return `${flagOf(option)} ${text.includes(' ') ? JSON.stringify(text) : text}`
  })
  return ['npm run bench --', name, ...options].join(' ')
}

/** The last run of each, or what the page shows of it. */
async function lastRecords(names: readonly string[]): Promise<BenchRecord[]> {
  const found = await Promise.all(
    names.map(async (name) => (await readRecord(latest, name)) ?? readRecord(shown, name)),
  )
  return found.filter((record) => record !== undefined)
}

async function plot(names: readonly string[]): Promise<void> {
  for (const name of names) {
    const record = await readRecord(shown, name)
    if (record === undefined) {
      say(`${name}: no results are kept in benchmarks/plots yet`)
      continue
    }
    const { charts = [] } = benchmarkOf(name).present(record.results)
    for (const file of await drawCharts(shown, name, charts)) print(`${file}\n`)
  }
}

async function tables(names: readonly string[], write: boolean): Promise<void> {
  for (const record of await lastRecords(names)) {
    if (write) {
      await show(catalog, record)
      say(`${record.name}: put into PERFORMANCE.md`)
    } else {
      const presentation = benchmarkOf(record.name).present(record.results)
      print(`${reportToMarkdown(record, presentation, 'benchmarks/plots')}\n\n`)
    }
  }
  if (write) await showTargets(catalog)
}

async function main(): Promise<void> {
  const request = parseRequest(process.argv.slice(2), Object.keys(catalog))
  switch (request.kind) {
    case 'help':
      return print(helpText(catalog, request.names))
    case 'plot':
      return plot(request.names)
    case 'tables':
      return tables(request.names, request.write)
    case 'measure':
      return measure(request)
  }
}

// Servers and their files do not outlive this process, however it ends; worker processes neither.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    say('cancelled')
    process.exit(130)
  })
}
try {
  await main()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  say(error.message === '' ? helpText(catalog, []) : error.message)
  process.exitCode = 2
}
