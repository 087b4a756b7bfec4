import { claims } from './claims.ts'
import { jobs } from './jobs.ts'
import { latency } from './latency.ts'
import { listener } from './listener.ts'
import { parseOptions, UsageError, type BenchOptions } from './options.ts'
import { publish } from './publish.ts'
import { replay } from './replay.ts'
import { conditions, render, type Report } from './report.ts'
import { startServer, type Bench } from './server.ts'
import { soak } from './soak.ts'
import { tail } from './tail.ts'

const benchmarks: Readonly<Record<string, (bench: Bench) => Promise<Report>>> = {
  publish,
  tail,
  listener,
  replay,
  latency,
  jobs,
  claims,
  soak,
}

async function main(): Promise<void> {
  const options: BenchOptions = parseOptions(process.argv.slice(2), Object.keys(benchmarks))
  const reports: Report[] = []
  await using server = await startServer(options)
  const progress = (line: string): void => void process.stderr.write(`${line}\n`)
  for (const name of options.names) {
    const run = benchmarks[name]
    if (run === undefined) continue
    progress(`── ${name}`)
    reports.push(await run({ options, server, progress }))
  }
  const where = conditions(server.version)
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ ...where, options, reports: reports.map(({ name, results }) => ({ name, results })) }, null, 2)}\n`
      : render(where, options, reports),
  )
}

try {
  await main()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
