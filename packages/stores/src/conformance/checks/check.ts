import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { isTidemarkError, type ErrorCode } from 'tidemark'
import type { PromiseName } from '../promises.ts'
import type { ConformanceSubject } from '../subject.ts'

/** Checks of some promises; each throws when its promise is broken. */
export type Checks<Names extends PromiseName> = Readonly<
  Record<Names, (subject: ConformanceSubject) => Promise<void>>
>

/** A text that nobody else uses. */
export function unique(what: string): string {
  return `${what}-${randomUUID()}`
}

/** @throws AssertionError unless the work is refused with this code. */
export async function refusedWith(code: ErrorCode, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isTidemarkError(error, code), `expected ${code}, got ${String(error)}`)
    return true
  })
}

/** Asks until it is so: for what comes with time alone. */
export async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 20_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`hung: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
