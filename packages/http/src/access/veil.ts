import { withoutStacks } from '../answers/json.ts'
import type { PayloadKind, Redactor } from './redaction.ts'

/** What one request may see in what it may look at. */
export class Veil {
  /** Whether payloads are shown at all. */
  readonly open: boolean
  readonly #stacks: boolean
  readonly #redactor: Redactor

  constructor(open: boolean, stacks: boolean, redactor: Redactor) {
    this.open = open
    this.#stacks = stacks
    this.#redactor = redactor
  }

  /** A payload as the request may see it: null when it may see none. */
  payload(kind: PayloadKind, name: string, value: unknown): unknown {
    if (!this.open) return null
    return value === undefined || value === null ? value : this.#redactor.apply(kind, name, value)
  }

  /** What goes with payloads and has no rules of its own: metadata, the fields of a log. */
  beside<T>(value: T): T | null {
    return this.open ? value : null
  }

  /** An error as the request may see it. Its message is always shown; where the code lies is not everybody's business. */
  error(error: unknown): unknown {
    return this.open && this.#stacks ? error : withoutStacks(error)
  }

  /** Whether a search by what a path holds would tell what is hidden. */
  hides(path: readonly string[]): boolean {
    return !this.open || this.#redactor.wouldTell(path)
  }
}
