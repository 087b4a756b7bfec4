import type { Presentation } from './benchmark.ts'
import { lineChart } from './chart.ts'
import { quantile } from './measure.ts'
import { whole } from './report.ts'
import type { SoakResults } from './soak.ts'

const megabyte = 1024 * 1024
// What is kept on purpose (events, statements, samples) is there after a minute.
const leastMinutes = 4
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
        title:
          'memory in MiB: medians of RSS in the quarters of the time, and what was held after a garbage collection',
        columns: [
          'process',
          'first',
          'second',
          'third',
          'last',
          'most',
          'held after a quarter',
          'held at the end',
        ],
        rows: memory.map(({ process, samples, live: [early = 0, late = 0] }) => [
          process,
          ...[...quarters(samples), Math.max(0, ...samples), early, late].map((bytes) =>
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

function failuresOf({ minutes, found, published, settled, memory }: SoakResults): string[] {
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
    ...memory.flatMap(({ process, live: [early = 0, late = 0] }) => {
      if (minutes < leastMinutes || late <= early * mostGrowth) return []
      return [`${process} held ${Math.round((late / early - 1) * 100)} % more at the end`]
    }),
  ]
}

/** The medians of the quarters of the time. */
function quarters(samples: readonly number[]): number[] {
  const length = Math.max(1, Math.floor(samples.length / 4))
  return [0, 1, 2, 3].map((n) => {
    const part = n === 3 ? samples.slice(-length) : samples.slice(n * length, (n + 1) * length)
    return part.length === 0 ? 0 : quantile(part, 0.5)
  })
}
