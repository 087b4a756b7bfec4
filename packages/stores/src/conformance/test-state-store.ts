import { describe, test } from 'vitest'
import { concurrencyChecks } from './checks/concurrency.ts'
import { findingChecks } from './checks/finding.ts'
import { outageChecks } from './checks/outages.ts'
import { refusalChecks } from './checks/refusals.ts'
import { valueChecks } from './checks/values.ts'
import { promises, type PromiseName } from './promises.ts'
import type { ConformanceSubject } from './subject.ts'

/** What of the suite is run. */
export interface ConformanceOptions {
  /** Promises that the backend does not make, with the reason. Defaults to none. */
  readonly without?: Readonly<Partial<Record<PromiseName, string>>>
}

const checks = {
  ...concurrencyChecks,
  ...valueChecks,
  ...findingChecks,
  ...refusalChecks,
  ...outageChecks,
}

/**
 * Tests with vitest that a store keeps what every store promises. It may hold other states; those of the suite have
 * keys of their own, and stay there.
 *
 * @example
 * ```ts
 * import { testStateStore } from '@tidemark/stores/conformance'
 * import { memoryStore } from '@tidemark/stores/memory'
 *
 * const store = memoryStore()
 * testStateStore('mine', () => ({ open: () => store }), {
 *   without: {
 *     killed: 'has no server',
 *     down: 'has no server',
 *     'half-open': 'has no connections',
 *     large: 'is kept here with the default limits only',
 *   },
 * })
 * ```
 */
export function testStateStore(
  name: string,
  subject: () => ConformanceSubject,
  { without = {} }: ConformanceOptions = {},
): void {
  describe(`the ${name} store`, () => {
    for (const [promise, title] of Object.entries(promises) as [PromiseName, string][]) {
      if (without[promise] !== undefined) continue
      // Those that take the server away need it for themselves; the others have keys of their own.
      const alone = Object.hasOwn(outageChecks, promise)
      const add = alone ? test : test.concurrent
      add(title, () => checks[promise](subject()))
    }
  })
}
