import { writeFileSync } from 'node:fs'
import type { RoundResult } from './round.ts'

/** The report of a run, for readers and for programs. */
export interface Report {
  readonly markdown: string
  readonly json: unknown
}

/** What a run was asked for. */
export interface RunFacts {
  readonly seed: number
  readonly minutes: number
  readonly version: string
}

/** Sums rounds up. */
export function reportOf(rounds: readonly RoundResult[], facts: RunFacts): Report {
  const sum = (of: (round: RoundResult) => number): number =>
    rounds.reduce((total, round) => total + of(round), 0)
  const events = sum((round) => round.events)
  const violations = rounds.flatMap((round) =>
    round.violations.map((violation) => ({ seed: round.seed, ...violation })),
  )
  const recoveries = recoveriesOf(rounds)
  const markdown = [
    `# Faults: seed ${facts.seed}, ${facts.minutes} minutes, Postgres ${facts.version}`,
    '',
    `${rounds.length} rounds, ${events} events, ${sum((round) => round.jobs)} jobs, ` +
      `${sum((round) => round.operations.done)} operations done, ${sum((round) => round.operations.undone)} rolled back, ` +
      `${sum((round) => round.operations.lost)} without an answer, ${sum((round) => round.faults.length)} faults, ` +
      `**${violations.length} violations**.`,
    '',
    slownessOf(rounds),
    '',
    'Milliseconds from the end of a fault until every listener and projection has handled a new event and a new job has ended:',
    '',
    '| fault | times | median | most |',
    '| --- | ---: | ---: | ---: |',
    ...recoveries.map(
      ({ name, times, median, most }) => `| ${name} | ${times} | ${median} | ${most} |`,
    ),
    '',
    ...violations.flatMap(({ seed, promise, evidence, after }) => [
      `## Violated: ${promise}`,
      '',
      `Seed ${seed}, after ${after} ms.`,
      '',
      '```json',
      JSON.stringify(evidence, bigints, 2),
      '```',
      '',
    ]),
  ].join('\n')
  return { markdown, json: { ...facts, recoveries, violations, rounds } }
}

/** Writes `<path>.md` and `<path>.json`. */
export function writeReport(path: string, { markdown, json }: Report): void {
  writeFileSync(`${path}.md`, markdown)
  writeFileSync(`${path}.json`, `${JSON.stringify(json, bigints, 2)}\n`)
}

function slownessOf(rounds: readonly RoundResult[]): string {
  const total = rounds.reduce((sum, { lasted }) => sum + lasted, 0)
  const mean =
    rounds.reduce((sum, { lasted, slowness }) => sum + lasted * slowness.mean, 0) /
    Math.max(1, total)
  const most = Math.max(1, ...rounds.map(({ slowness }) => slowness.most))
  return (
    `They took ${Math.round(total / 1000)} s. Work took ${mean.toFixed(1)} times as long as on a machine that does nothing ` +
    `else, at its worst ${most.toFixed(1)} times; bounds are counted accordingly.`
  )
}

function recoveriesOf(rounds: readonly RoundResult[]) {
  const byName = new Map<string, number[]>()
  for (const { name, recovery } of rounds.flatMap(({ faults }) => faults)) {
    // Two at once are counted apart.
    const shown = name.includes(' + ') ? 'two at once' : name
    byName.set(shown, [...(byName.get(shown) ?? []), recovery])
  }
  return [...byName]
    .map(([name, times]) => {
      const sorted = times.toSorted((a, b) => a - b)
      const median = sorted[Math.floor(sorted.length / 2)] ?? 0
      return { name, times: times.length, median, most: sorted.at(-1) ?? 0 }
    })
    .toSorted((a, b) => a.name.localeCompare(b.name))
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
