import { rejectUnknownOptions, TestingError } from '../testing-error.ts'
import { faultKinds, type ExploredFault } from './boundary.ts'
import type { ExploreOptions } from './explore.ts'
import type { Scenario } from './scenario.ts'

const knownParts = { template: true, before: true, when: true, invariant: true } as const
const knownOptions = { seed: true, budget: true, patience: true, schedule: true } as const

/** @throws TestingError TIDEMARK_TESTING_UNSUPPORTED, for what JavaScript lets through. */
export function checkScenario(scenario: Scenario): void {
  if (!isObject(scenario)) throw refused('the scenario is no object', example)
  rejectUnknownOptions('the scenario of explore', scenario, knownParts)
  const parts = scenario as Readonly<Record<string, unknown>>
  for (const part of ['when', 'invariant']) {
    if (typeof parts[part] === 'function') continue
    throw refused(`the scenario has no function \`${part}\``, example)
  }
  if (!['undefined', 'function'].includes(typeof parts['before'])) {
    throw refused("the scenario's `before` is no function", example)
  }
}

/** @throws TestingError TIDEMARK_TESTING_UNSUPPORTED. */
export function checkOptions(options: ExploreOptions): void {
  rejectUnknownOptions('explore', options, knownOptions)
  const { seed = 1, budget = 0, patience = 1, schedule = [] } = options
  requireNumber('seed', seed, Number.isSafeInteger(seed), 'a whole number')
  const time = 'milliseconds, less than a day'
  requireNumber('budget', budget, budget >= 0 && budget < day, time)
  requireNumber('patience', patience, patience > 0 && patience < day, `${time} and more than 0`)
  if (!Array.isArray(schedule) || !schedule.every(isFault)) {
    throw refused(
      'the `schedule` of explore is no list of faults',
      `Copy it from the message of a failure; each fault has a kind (${faultKinds.join(', ')}), a statement and nth, a whole number from 1.`,
    )
  }
}

const day = 86_400_000
const example =
  'It needs `when`, which publishes or spawns something, and `invariant`, which throws when something is not as it must be.'

function requireNumber(name: string, value: unknown, good: boolean, what: string): void {
  if (typeof value === 'number' && good) return
  throw refused(`the \`${name}\` of explore is ${String(value)}`, `It is a number: ${what}.`)
}

function isFault(fault: unknown): fault is ExploredFault {
  if (!isObject(fault)) return false
  const { kind, statement, nth } = fault
  const known = (faultKinds as readonly unknown[]).includes(kind)
  return known && typeof statement === 'string' && Number.isSafeInteger(nth) && Number(nth) > 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function refused(what: string, hint: string): TestingError {
  return new TestingError('TIDEMARK_TESTING_UNSUPPORTED', what, hint)
}
