import { shown } from '../../errors/checked-text.ts'
import { rejectUnknownOptions, requireFunction } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

/** How many branches go on at once. */
export interface FanOutOptions {
  /** Defaults to 10. */
  readonly concurrency?: number
}

/**
 * Runs `work` for each item, so many at once, and answers what each answered, in the order of the items. The first that
 * fails ends it: no other begins.
 *
 * @throws what the first that failed threw.
 */
export async function fanOut<Item, Result>(
  items: Iterable<Item>,
  work: (item: Item, index: number) => Promise<Result> | Result,
  options: FanOutOptions = {},
): Promise<Result[]> {
  requireFunction('a fan-out', 'work', work)
  rejectUnknownOptions('a fan-out', options, ['concurrency'])
  const { concurrency = 10 } = options
  if (!Number.isInteger(concurrency) || concurrency < 1) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `the concurrency of a fan-out must be a whole number from 1, not ${String(concurrency)}`,
    )
  }
  const list = listOf(items)
  const results = Array.from<Result>({ length: list.length })
  let next = 0
  let failed = false
  const lane = async (): Promise<void> => {
    while (next < list.length && !failed) {
      const index = next
      next += 1
      try {
        results[index] = await work(list[index] as Item, index)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, list.length) }, lane))
  return results
}

function listOf<Item>(items: Iterable<Item>): readonly Item[] {
  const given: unknown = items
  if (
    typeof (given as Partial<Iterable<Item>> | null | undefined)?.[Symbol.iterator] === 'function'
  ) {
    return [...items]
  }
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `a fan-out is over something that can be iterated, and ${shown(items)} cannot`,
  )
}
