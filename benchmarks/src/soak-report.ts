import type { Presentation } from './benchmark.ts'
import { lineChart } from './chart.ts'
import { quantile } from './measure.ts'
import { whole } from './report.ts'
import type { SoakResults } from './soak.ts'

const megabyte = 1024 * 1024
// Enough for a heap to find its size: what it does before that says nothing.
const leastSamples = 120
const mostGrowth = 1.25

/** Shows what was measured, and says what was wrong. */
export function presentSoak(results: SoakResults): Presentation {
  const { minutes, publishers, published, killed, found, memory } = results
  const failures = failuresOf(results)
  return {
    failures,
    tables: [
      {
        title: `${minutes} minutes, ${publishers} publishers, 2 workers, a connection killed each second`,
        columns: ['', 'count'],
        rows: [
          ['events published', whole(found.events)],
          ['events a second', whole(found.events / (minutes * 60))],
          ['transactions rolled back', whole(published.rolledBack)],
          ['connections killed', whole(killed)],
          ['publishes repeated after that', whole(published.repeated)],
          ['events without their effect', whole(found.missing)],
          ['effects twice', whole(found.twice)],
          ['effects out of order', whole(found.disorder)],
          ['events that the projection counted', whole(found.counted)],
          ['horizons sampled', whole(found.samples)],
          ['horizons that an event passed', whole(found.skips)],
          ['connections left open', whole(found.connections)],
        ],
        notes: failures.map((failure) => `**Failed:** ${failure}.`),
      },
      {
        title: 'memory, MiB of RSS: medians of the quarters of the time',
        columns: ['process', 'first', 'second', 'third', 'last', 'most'],
        rows: memory.map(({ process, samples }) => [
          process,
          ...[...quarters(samples), Math.max(0, ...samples)].map((bytes) =>
            whole(bytes / megabyte),
          ),
        ]),
      },
    ],
    charts: [
      lineChart('memory', 'Memory of each process', {
        x: { title: 'seconds' },
        y: { title: 'MiB of RSS' },
        dots: false,
        points: memory.flatMap(({ process, samples }) =>
          samples.map((bytes, second) => ({ series: process, x: second, y: bytes / megabyte })),
        ),
      }),
    ],
  }
}

function failuresOf({ found, published, settled, memory }: SoakResults): string[] {
  return [
    ...(settled ? [] : ['the listeners stood still']),
    ...(found.events === published.events
      ? []
      : [`${published.events} events were published, ${found.events} are there`]),
    ...(found.missing > 0 ? [`${found.missing} events were skipped`] : []),
    ...(found.twice > 0 ? [`${found.twice} events took effect twice`] : []),
    ...(found.disorder > 0 ? [`${found.disorder} effects came out of order`] : []),
    ...(found.counted === found.events ? [] : [`the projection counted ${found.counted}`]),
    ...(found.connections > 0 ? [`${found.connections} connections were left open`] : []),
    ...(found.skips > 0 ? [`the skip detector found ${found.skips}`] : []),
    ...memory.flatMap(({ process, samples }) => {
      const [, second = 0, , last = 0] = quarters(samples)
      if (samples.length < leastSamples || last <= second * mostGrowth) return []
      return [`the memory of ${process} grew by ${Math.round((last / second - 1) * 100)} %`]
    }),
  ]
}

/** Memory that is not given back shows in the last one. */
function quarters(samples: readonly number[]): number[] {
  const length = Math.max(1, Math.floor(samples.length / 4))
  return [0, 1, 2, 3].map((n) => {
    const part = n === 3 ? samples.slice(-length) : samples.slice(n * length, (n + 1) * length)
    return part.length === 0 ? 0 : quantile(part, 0.5)
  })
}
