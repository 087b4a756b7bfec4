import type { Chart } from './chart.ts'
import type { BenchOptions } from './options.ts'
import type { Report, Table } from './report.ts'
import type { Bench } from './server.ts'
import type { Reached } from './targets.ts'

/** Results as people read them. Made from the results alone, so that it can be made again without measuring. */
export interface Presentation {
  readonly tables: readonly Table[]
  /** Drawn as SVG beside the results. Defaults to none. */
  readonly charts?: readonly Chart[]
  /** What became of the targets that this benchmark decides. Defaults to none. */
  readonly targets?: readonly Reached[]
  /** What was found wrong: the run fails. Defaults to nothing. */
  readonly failures?: readonly string[]
}

/** A benchmark, without the type of its results. */
export interface Benchmark {
  /** One line for the list of benchmarks. */
  readonly summary: string
  /** About how long it takes with its defaults, in minutes. */
  readonly minutes: number
  /** Where they differ from the defaults of all. */
  readonly defaults: Partial<BenchOptions>
  /** Settings of the server, beside those of all benchmarks. */
  readonly settings: Readonly<Record<string, string>>
  /** Measures; what it answers can be written as JSON. */
  readonly run: (bench: Bench) => Promise<unknown>
  /** @param results - what `run` answered, or the same read from JSON. */
  readonly present: (results: unknown) => Presentation
}

/** A benchmark: how it measures, and how it shows what it measured. */
export function defineBenchmark<Results>(definition: {
  readonly summary: string
  readonly minutes: number
  readonly defaults?: Partial<BenchOptions>
  readonly settings?: Readonly<Record<string, string>>
  readonly run: (bench: Bench) => Promise<Results>
  readonly present: (results: Results) => Presentation
}): Benchmark {
  return {
    defaults: {},
    settings: {},
    ...definition,
    present: (results) => definition.present(results as Results),
  }
}

/** A benchmark that measures and shows at once: its report is kept whole. */
export function reporting(
  summary: string,
  minutes: number,
  run: (bench: Bench) => Promise<Report>,
  defaults: Partial<BenchOptions> = {},
): Benchmark {
  return defineBenchmark<Report>({ summary, minutes, defaults, run, present: (report) => report })
}
