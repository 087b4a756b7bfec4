import type { Benchmark } from './benchmark.ts'
import { defaultOptions, type BenchOptions } from './options.ts'

/** The help text: of the command, or of the benchmarks that are named. */
export function helpText(
  catalog: Readonly<Record<string, Benchmark>>,
  names: readonly string[],
): string {
  if (names.length > 0 && names.length < Object.keys(catalog).length) {
    return names.map((name) => helpOf(name, catalog[name] as Benchmark)).join('\n')
  }
  const width = Math.max(...Object.keys(catalog).map((name) => name.length))
  const list = Object.entries(catalog).map(
    ([name, { summary, minutes }]) =>
      `  ${name.padEnd(width)}  ${String(minutes).padStart(3)} min  ${summary}`,
  )
  const total = Object.values(catalog).reduce((sum, { minutes }) => sum + minutes, 0)
  return `Usage: npm run bench -- <name>… [options]     measures
       npm run bench -- plot [<name>…]        draws the plots of PERFORMANCE.md again
       npm run bench -- tables [<name>…]      prints the last results as Markdown
       npm run bench -- tables --write        puts them into PERFORMANCE.md, with their plots

Names, with about how long each takes:
${list.join('\n')}
  ${'all'.padEnd(width)}  ${String(total).padStart(3)} min  all of them, in this order

${options}`
}

function helpOf(name: string, { summary, minutes, defaults }: Benchmark): string {
  const own = Object.entries(defaults).map(
    ([option, value]) => `  ${flagOf(option)} ${String(value)}\n`,
  )
  return `npm run bench -- ${name}
  ${summary}; about ${minutes} min

Defaults of its own:
${own.length === 0 ? '  none\n' : own.join('')}
${options}`
}

/** The option's name on the command line. */
export function flagOf(option: string): string {
  return option === 'commitDelays' ? '--commit-delay' : `--${option}`
}

const say = (option: keyof BenchOptions): string => String(defaultOptions[option])

const options = `Options:
  --clients n          clients or callers that publish at once (default ${say('clients')})
  --publishers n,n…    publish: the numbers of publishers (default ${say('publishers')})
  --listeners n,n…     tail: the numbers of listeners (default ${say('listeners')})
  --seconds n          length of one measurement that is bounded by time (default ${say('seconds')})
  --minutes n          length of the soak (default ${say('minutes')})
  --runs n             measurements of each case, taking turns: A B, B A, … (default ${say('runs')})
  --events n           events of one measurement that is bounded by events
  --commit-delay n,n…  how much slower each commit is than the disk, in ms (default ${say('commitDelays')})
  --only text          only the cases whose name contains the text, and what they are compared with
  --json               print JSON instead of tables
  --out folder         where the results go (default benchmarks/results)
  --write              put the results into PERFORMANCE.md when they are there
  --help               this text, or that of the benchmarks that are named

Results: benchmarks/results/<name>.json, with their plots beside. What PERFORMANCE.md shows: benchmarks/plots.
Exit code: 0, 1 when a check failed, 2 for a mistake on the command line, 130 after Ctrl-C.
`
