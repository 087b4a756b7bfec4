import { createLogUpdate } from 'log-update'
import colors from 'picocolors'
import { clock, frame, summary, type Moment } from './frame.ts'

/** What one sees while it runs. */
export interface View {
  /** Writes down something that has happened. */
  note(text: string): void
  /** Shows how things are; what it showed before is out of date. */
  show(moment: Moment): void
  /** Ends the part that changes. */
  end(): void
}

// Some terminals say that they have no columns at all; in so few the table would be torn.
const narrowest = 60

/** A live view in a terminal that has room for it, and a line now and then anywhere else. */
export function openView(out: NodeJS.WriteStream): View {
  const startedAt = performance.now()
  return out.isTTY && out.columns >= narrowest
    ? new LiveView(out, startedAt)
    : new PlainView(out, startedAt)
}

class LiveView implements View {
  readonly #log: ReturnType<typeof createLogUpdate>
  readonly #startedAt: number

  constructor(out: NodeJS.WriteStream, startedAt: number) {
    this.#log = createLogUpdate(out)
    this.#startedAt = startedAt
  }

  note(text: string): void {
    this.#log.persist(`${colors.dim(clock(performance.now() - this.#startedAt))}  ${text}`)
  }

  show(moment: Moment): void {
    this.#log(frame(moment))
  }

  end(): void {
    this.#log.done()
  }
}

const lineEvery = 2_000

class PlainView implements View {
  readonly #out: NodeJS.WriteStream
  readonly #startedAt: number
  #shown = 0

  constructor(out: NodeJS.WriteStream, startedAt: number) {
    this.#out = out
    this.#startedAt = startedAt
  }

  note(text: string): void {
    this.#out.write(`${clock(performance.now() - this.#startedAt)}  ${text}\n`)
  }

  show(moment: Moment): void {
    if (moment.elapsed - this.#shown < lineEvery) return
    this.#shown = moment.elapsed
    this.note(summary(moment))
  }

  end(): void {}
}
