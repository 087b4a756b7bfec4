import type { TopLevelSpec } from 'vega-lite'
import type { Presentation } from './benchmark.ts'
import type { Chart } from './chart.ts'
import type { Latency, LatencyResults } from './latency.ts'
import { whole, type Table } from './report.ts'
import type { Reached } from './targets.ts'

const percentiles = ['p50', 'p95', 'p99', 'max'] as const

/** Shows what was measured. */
export function presentLatency({ clients, latencies }: LatencyResults): Presentation {
  const delays = [...new Set(latencies.map(({ commitDelay }) => commitDelay))]
  const blocks = delays.map((delay) => ({
    delay,
    found: latencies.filter(({ commitDelay }) => commitDelay === delay),
  }))
  return {
    tables: blocks.map(({ delay, found }) => tableOf(delay, clients, found)),
    charts: blocks.map(({ delay, found }) => chartOf(delay, found)),
    targets: targetsOf(latencies),
  }
}

const rateOf = ({ rate }: Latency): string => (rate === null ? 'saturated' : `${whole(rate)}/s`)

const slower = (delay: number): string => (delay === 0 ? '' : `, commits ${delay} ms slower`)

function tableOf(delay: number, clients: number, latencies: readonly Latency[]): Table {
  const saturated = latencies.some(({ rate }) => rate === null)
  const note = saturated ? `; saturated: ${clients} clients` : ''
  return {
    title: `commit to effect committed${slower(delay)}${note}`,
    columns: ['rate', 'wake-up', 'events', 'published/s', ...percentiles],
    rows: latencies.map((one) => [
      rateOf(one),
      one.doorbell,
      whole(one.published),
      whole(one.publishedPerSecond),
      ...percentiles.map((percentile) => `${one[percentile].toFixed(1)} ms`),
    ]),
  }
}

function chartOf(delay: number, latencies: readonly Latency[]): Chart {
  const title = `Commit to effect committed${slower(delay)}`
  const rates = [...new Set(latencies.map(rateOf))]
  const values = latencies.flatMap((one) =>
    percentiles.map((percentile) => ({
      rate: rateOf(one),
      doorbell: one.doorbell,
      percentile,
      ms: one[percentile],
    })),
  )
  const spec: TopLevelSpec = {
    title,
    data: { values },
    facet: { row: { field: 'rate', type: 'nominal', sort: rates, title: 'events a second' } },
    spec: {
      width: 480,
      layer: [
        {
          mark: { type: 'line', color: '#bbb' },
          encoding: { detail: { field: 'doorbell', type: 'nominal' } },
        },
        {
          mark: { type: 'point', filled: true, size: 70 },
          encoding: {
            color: { field: 'percentile', type: 'nominal', sort: [...percentiles], title: null },
            shape: { field: 'percentile', type: 'nominal', sort: [...percentiles], title: null },
          },
        },
      ],
      encoding: {
        y: {
          field: 'doorbell',
          type: 'nominal',
          sort: null,
          title: null,
          axis: { labelLimit: 200 },
        },
        x: { field: 'ms', type: 'quantitative', scale: { type: 'log' }, title: 'milliseconds' },
      },
    },
  }
  return { name: `commits-${delay}ms`, title, spec }
}

function targetsOf(latencies: readonly Latency[]): Reached[] {
  const one = latencies.find(
    ({ commitDelay, rate, doorbell }) =>
      commitDelay === 0 && rate === 50 && doorbell === 'adaptive doorbell',
  )
  if (one === undefined) return []
  const measured = `p50 ${one.p50.toFixed(1)} ms, p99 ${one.p99.toFixed(1)} ms`
  return [{ name: 'latency', measured, met: one.p50 <= 5 && one.p99 <= 25 ? 'yes' : 'no' }]
}
