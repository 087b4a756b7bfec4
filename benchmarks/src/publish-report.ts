import type { Presentation } from './benchmark.ts'
import { lineChart, ratesChart, type Chart } from './chart.ts'
import { ratioOf, type Measured, type Spread } from './measure.ts'
import { bulkCallers, names } from './publish-cases.ts'
import type { PublishBlock, PublishResults } from './publish.ts'
import { ratesTable, whole, type Table } from './report.ts'
import { atLeast, spreadText, type Reached, type TargetName } from './targets.ts'

/** Which cases are compared with which. */
const comparisons = [
  [names.outbox, names.bare],
  [names.outbox, names.notify],
  [names.outbox, names.lock],
  [names.transaction, names.driver],
  [names.coalesced, names.driver],
  [names.coalesced, names.emmett],
  [names.streams, names.emmett],
  [names.inline, names.coalesced],
  [names.inlineSend, names.coalesced],
  [names.inlineBatch, names.coalesced],
] as const

/** Shows what was measured. */
export function presentPublish({ single, bulk }: PublishResults): Presentation {
  const delays = [...new Set(single.map(({ commitDelay }) => commitDelay))]
  const tables: Table[] = []
  const charts: Chart[] = []
  for (const delay of delays) {
    const blocks = single.filter(({ commitDelay }) => commitDelay === delay)
    tables.push(...singleTables(blocks, speedOf(delay, blocks)))
    charts.push(
      lineChart(
        `commits-${delay}ms`,
        `Events a second, one a transaction or call; commits ${slower(delay)}`,
        {
          x: { title: 'publishers', scale: 'log' },
          y: { title: 'events a second', scale: 'log' },
          points: blocks.flatMap(({ publishers, cases }) =>
            cases.map(({ name, median }) => ({ series: name, x: publishers, y: median })),
          ),
        },
      ),
    )
  }
  for (const { commitDelay, cases } of bulk) {
    if (cases.length === 0) continue
    const title = `events a second in bulk, ${bulkCallers} callers, commits ${slower(commitDelay)}`
    const ratio = ratioOf(cases, names.bulk, names.emmettBulk)
    const notes =
      ratio === undefined ? [] : [`publish() is ${spreadText(ratio)} times as fast as emmett.`]
    tables.push({ ...ratesTable(title, cases), notes })
    charts.push(ratesChart(`bulk-${commitDelay}ms`, title, cases))
  }
  return { tables, charts, targets: targetsOf({ single, bulk }) }
}

function singleTables(blocks: readonly PublishBlock[], speed: string): Table[] {
  const counts = blocks.map(({ publishers }) =>
    publishers === 1 ? '1 publisher' : `${publishers} publishers`,
  )
  const cases = [...new Set(blocks.flatMap((block) => block.cases.map(({ name }) => name)))]
  return [
    {
      title: `events a second, one a transaction or call; ${speed}`,
      columns: ['case', ...counts],
      rows: cases.map((name) => [
        name,
        ...blocks.map((block) => rateCell(block.cases.find((one) => one.name === name))),
      ]),
    },
    {
      title: `ratios of the same rounds (lowest – highest); ${speed}`,
      columns: ['case', 'of', ...counts],
      rows: comparisons.flatMap(([name, of]) => {
        const ratios = blocks.map((block) => ratioOf(block.cases, name, of))
        if (ratios.every((ratio) => ratio === undefined)) return []
        return [
          [name, of, ...ratios.map((ratio) => (ratio === undefined ? '' : spreadText(ratio)))],
        ]
      }),
    },
  ]
}

function rateCell(measured: Measured | undefined): string {
  return measured === undefined ? '' : whole(measured.median)
}

const slower = (delay: number): string =>
  delay === 0 ? 'as the disk has them' : `${delay} ms slower`

/** How long a commit takes: what a single publisher that does nothing else waits. */
function speedOf(delay: number, blocks: readonly PublishBlock[]): string {
  const alone = blocks.find(({ publishers }) => publishers === 1)
  const rate = alone?.cases.find(({ name }) => name === names.bare)?.median
  const took = rate === undefined ? '' : `, ${(1000 / rate).toFixed(2)} ms for an INSERT alone`
  return `commits ${slower(delay)}${took}`
}

function targetsOf({ single, bulk }: Pick<PublishResults, 'single' | 'bulk'>): Reached[] {
  const block = (delay: number): readonly Measured[] =>
    single.find(({ commitDelay, publishers }) => commitDelay === delay && publishers === 32)
      ?.cases ?? []
  const inBulk = bulk.find(({ commitDelay }) => commitDelay === 0)?.cases ?? []
  const found: readonly (readonly [TargetName, number, Spread | undefined])[] = [
    ['outbox-insert', 0.85, ratioOf(block(0), names.outbox, names.bare)],
    ['outbox-insert-slow', 0.85, ratioOf(block(2), names.outbox, names.bare)],
    ['outbox-notify-slow', 8, ratioOf(block(2), names.outbox, names.notify)],
    ['transaction', 0.85, ratioOf(block(0), names.transaction, names.driver)],
    ['coalesced', 10, ratioOf(block(0), names.coalesced, names.emmett)],
    ['coalesced-slow', 10, ratioOf(block(2), names.coalesced, names.emmett)],
    ['bulk', 2, ratioOf(inBulk, names.bulk, names.emmettBulk)],
  ]
  return found.flatMap(([name, limit, ratio]) =>
    ratio === undefined ? [] : [atLeast(name, limit, ratio)],
  )
}
