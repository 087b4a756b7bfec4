/**
 * `npm run faults`: plays faults on a ledger for as long as asked, and reports what came of it.
 *
 *     npm run faults -- --minutes 30 --seed 7      rounds of 30 s, of the seeds 7, 8, 9, …
 *     npm run faults -- --only killed              only faults with "killed" in their name
 *     npm run faults -- --seed 9 --minutes 0.5     the one round of seed 9
 *     npm run faults -- --workers 2                two worker processes; without it 2 to 4, as drawn
 *     npm run faults -- --report folder/name       writes name.md and name.json
 *     npm run faults -- --planted --minutes 3      plants bugs in a copy, and looks for each for 3 minutes at most
 *
 * Exits with 1 when a promise was broken, or a planted bug was not found.
 */
import { parseArgs } from 'node:util'
import { startPostgres } from '@tidemark/testing'
import { faultsNamed } from '../faults/catalog.ts'
import { findPlanted } from '../plant.ts'
import { reportOf, writeReport } from '../report.ts'
import { playRound, type RoundOptions, type RoundResult } from '../round.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '1' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1_000_000)) },
    round: { type: 'string', default: '30' },
    only: { type: 'string', default: '' },
    report: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    'until-violated': { type: 'boolean', default: false },
    workers: { type: 'string' },
    planted: { type: 'boolean', default: false },
  },
})
const [minutes, first, seconds] = [values.minutes, values.seed, values.round].map(Number) as [
  number,
  number,
  number,
]
if (values.planted) {
  const found = await findPlanted({ seed: first, minutes, only: values.only })
  process.exit(found.every(({ promise }) => promise !== undefined) ? 0 : 1)
}
const nothingDone: RoundResult = {
  seed: first,
  events: 0,
  jobs: 0,
  operations: { done: 0, undone: 0, lost: 0 },
  lasted: 0,
  slowness: { mean: 1, most: 1 },
  faults: [],
  violations: [],
}
const kinds = faultsNamed(values.only)
if (kinds.length === 0) throw new Error(`no kind of fault is named like "${values.only}"`)

const started = performance.now()
const server = await startPostgres({
  source: 'embedded',
  settings: {
    max_prepared_transactions: '50',
    max_connections: '140',
    // The least: the queue of notifications is soon full.
    max_notify_queue_pages: '64',
  },
})
const rounds: RoundResult[] = []
// The operator's application runs in this process: what kills it kills an application.
process.on('uncaughtException', (error) => {
  const violation = {
    promise: 'the process of an application lives',
    evidence: error.stack,
    after: Math.round(performance.now() - started),
  }
  console.log(`VIOLATED: ${violation.promise}: ${error.stack}`)
  end([...rounds, { ...nothingDone, violations: [violation] }])
})
for (let seed = first; performance.now() - started < minutes * 60_000; seed++) {
  const log: string[] = []
  const note = (line: string): void => {
    log.push(line)
    if (values.verbose) console.log(`  ${line}`)
  }
  const left = minutes * 60_000 - (performance.now() - started)
  const duration = Math.min(seconds * 1_000, Math.max(1_000, left))
  const workers = values.workers === undefined ? {} : { workers: Number(values.workers) }
  const result = await play({ server, seed, duration, kinds, note, ...workers })
  rounds.push(result)
  const { events, jobs, faults, violations, lasted, slowness } = result
  console.log(
    `round of seed ${seed}: ${events} events, ${jobs} jobs, ${faults.length} faults, ${Math.round(lasted / 1000)} s, machine ${slowness.mean.toFixed(1)} times slower, ${violations.length} violations`,
  )
  if (violations.length > 0) {
    if (!values.verbose) for (const line of log) console.log(`  ${line}`)
    console.log(`  repeat it: npm run faults -- --seed ${seed} --minutes ${seconds / 60}`)
    if (values['until-violated']) break
  }
}
await server[Symbol.asyncDispose]()
end(rounds)

/** Reports, and ends: what hangs in a round that broke a promise must not keep the run from it. */
function end(all: readonly RoundResult[]): never {
  const report = reportOf(all, { seed: first, minutes, version: server.version })
  if (values.report !== undefined) writeReport(values.report, report)
  else console.log(report.markdown)
  process.exit(all.some(({ violations }) => violations.length > 0) ? 1 : 0)
}

/** A round; one that cannot even be begun, or told of, has broken a promise, too. */
async function play(options: RoundOptions): Promise<RoundResult> {
  const began = performance.now()
  try {
    return await playRound(options)
  } catch (error) {
    const lasted = Math.round(performance.now() - began)
    const evidence = error instanceof Error ? error.stack : String(error)
    options.note(`the round itself failed: ${evidence}`)
    return {
      ...nothingDone,
      seed: options.seed,
      lasted,
      violations: [{ promise: 'a round comes to its end', evidence, after: lasted }],
    }
  }
}
