/** Something to measure, alone or against others. */
export interface Case {
  readonly name: string
  /** The name of the case that bounds it: its figure is also given as a share of that one's. */
  readonly against?: string
  /** Measures once; answers a rate a second. */
  readonly measure: () => Promise<number>
}

/** The median and the extremes of some measurements. */
export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

/** What was measured of one case. */
export interface Measured extends Spread {
  readonly name: string
  /** The measurements, in the order in which they were made. */
  readonly rates: readonly number[]
  /** Against another case: of each round, so that what slows a whole round down cancels out. */
  readonly ratio?: Spread & { readonly against: string }
}

/**
 * Measures the cases in turns, A B, B A, A B, …: on a machine that others use too, neighbours in time are alike, and
 * no case always comes after the same one.
 *
 * @param progress - told about each measurement.
 */
export async function interleave(
  cases: readonly Case[],
  runs: number,
  progress: (line: string) => void,
): Promise<Measured[]> {
  const rates = new Map(cases.map(({ name }): [string, number[]] => [name, []]))
  for (let round = 1; round <= runs; round++) {
    for (const { name, measure } of round % 2 === 1 ? cases : cases.toReversed()) {
      const rate = await measure()
      rates.get(name)?.push(rate)
      progress(`round ${round}/${runs}  ${name}: ${Math.round(rate).toLocaleString('en')}/s`)
    }
  }
  return cases.map(({ name, against }): Measured => {
    const own = rates.get(name) ?? []
    const measured = { name, rates: own, ...spread(own) }
    const theirs = against === undefined ? undefined : rates.get(against)
    if (against === undefined || theirs === undefined) return measured
    const ratios = own.map((rate, round) => rate / (theirs[round] as number))
    return { ...measured, ratio: { against, ...spread(ratios) } }
  })
}

/** The cases whose name contains `only`, and the ones that they are compared with. */
export function selectCases(cases: readonly Case[], only: string | undefined): readonly Case[] {
  if (only === undefined) return cases
  const chosen = cases.filter(({ name }) => name.includes(only))
  const needed = new Set(chosen.flatMap(({ name, against }) => [name, against]))
  return cases.filter(({ name }) => needed.has(name))
}

/**
 * One case as a share of another that was measured in the same rounds.
 *
 * @returns undefined if one of them was not measured.
 */
export function ratioOf(
  measured: readonly Measured[],
  name: string,
  against: string,
): Spread | undefined {
  const own = measured.find((one) => one.name === name)?.rates
  const theirs = measured.find((one) => one.name === against)?.rates
  if (own === undefined || theirs === undefined) return undefined
  return spread(own.map((rate, round) => rate / (theirs[round] as number)))
}

/** The median and the extremes. */
export function spread(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), min: quantile(values, 0), max: quantile(values, 1) }
}

/** The value below which a share of the values lies: the nearest one, never an average of two. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))
  return sorted[index] ?? Number.NaN
}
