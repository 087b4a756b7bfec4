import { createTestDatabase } from '@tidemark/testing'
import { defineBenchmark, type Benchmark } from './benchmark.ts'
import { interleave, selectCases, type Measured } from './measure.ts'
import { openPublishers, bulkSize } from './publish-cases.ts'
import { presentPublish } from './publish-report.ts'
import { delayCommits, type Bench } from './server.ts'

/** What so many publishers reached, with commits that are so much slower. */
export interface PublishBlock {
  /** Milliseconds that each commit waits beside what the disk takes. */
  readonly commitDelay: number
  readonly publishers: number
  readonly cases: readonly Measured[]
}

/** What bulk publishing reached, by two callers. */
export interface BulkBlock {
  readonly commitDelay: number
  readonly cases: readonly Measured[]
}

/** The results of the benchmark. */
export interface PublishResults {
  readonly bulkSize: number
  readonly single: readonly PublishBlock[]
  readonly bulk: readonly BulkBlock[]
}

/**
 * What publishing costs beside an INSERT into a plain table of the same columns, once for the server alone and once
 * through the library and the driver that it uses; beside other ways to wake or to order readers; and beside a peer.
 */
export const publish: Benchmark = defineBenchmark<PublishResults>({
  summary: 'one event a transaction, coalesced and in bulk, beside bare INSERTs and emmett',
  minutes: 8,
  defaults: { seconds: 1, commitDelays: [0, 2] },
  run: measurePublish,
  present: presentPublish,
})

async function measurePublish({ options, server, progress }: Bench): Promise<PublishResults> {
  const { publishers, seconds, runs, only, commitDelays } = options
  await using database = await createTestDatabase({ server })
  await using open = await openPublishers(database, Math.max(2, ...publishers))
  const single: PublishBlock[] = []
  const bulk: BulkBlock[] = []
  for (const commitDelay of commitDelays) {
    await delayCommits(server, commitDelay)
    for (const count of publishers) {
      const label = `commits +${commitDelay} ms, ${count} publishers`
      const tell = (line: string): void => progress(`${label}, ${line}`)
      const cases = selectCases(open.singleCases(count, seconds), only)
      // What happens once, as making the first connection, is not what is measured.
      for (const { measure } of selectCases(open.singleCases(count, seconds / 10), only))
        await measure()
      single.push({ commitDelay, publishers: count, cases: await interleave(cases, runs, tell) })
    }
    const cases = selectCases(open.bulkCases(seconds), only)
    const tell = (line: string): void => progress(`commits +${commitDelay} ms, bulk, ${line}`)
    bulk.push({ commitDelay, cases: await interleave(cases, runs, tell) })
  }
  await delayCommits(server, 0)
  return { bulkSize, single, bulk }
}
