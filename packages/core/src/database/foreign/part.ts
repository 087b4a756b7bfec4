import { AsyncLocalStorage } from 'node:async_hooks'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { Executor } from '../executor.ts'
import { ForeignExecutor } from './foreign-executor.ts'

/** What is done one after the other in one transaction. */
interface Turns {
  last: Promise<unknown>
  /** How many have ended: who waits sees by it whether those before it get anywhere. */
  ended: number
}

/** A part that is under way; parts within it take turns of their own. */
interface Part extends Turns {
  readonly transaction: object
  readonly outer: Part | undefined
}

// In milliseconds. Whoever has its turn may be waiting for one that comes after it, which nobody can know.
const patience = 30_000
// Not a name that handlers may not use: their guard sees the statements of a part as it sees their own.
const savepoint = 'part_of_tidemark'

const within = new AsyncLocalStorage<Part>()
const outermost = new WeakMap<object, Turns>()

/**
 * Does a part of a transaction that is somebody else's to end: all of it or, when it fails, nothing, and the transaction
 * goes on as if nobody had tried.
 *
 * @throws what the work throws.
 */
export function inPart<T>(executor: Executor, work: () => Promise<T>): Promise<T> {
  return inTurn(executor, () => undoable(executor, work))
}

/**
 * Does something in a transaction that is somebody else's to end, when what was begun in it before is done.
 *
 * INVARIANT: what is done in one transaction takes turns. What is sent while a part is under way would be in its savepoint,
 * and undone with it.
 *
 * @throws what the work throws; TidemarkError TIDEMARK_TRANSACTION_BUSY when what was begun before does not end.
 */
export function inTurn<T>(executor: Executor, work: () => Promise<T>): Promise<T> {
  const transaction = executor instanceof ForeignExecutor ? executor.transaction : executor
  const turns = turnsIn(transaction)
  const outer = within.getStore()
  const { promise, resolve, reject } = Promise.withResolvers<T>()
  let ended = turns.ended
  let isLeft = false
  const watch = setInterval(() => {
    if (turns.ended === ended) {
      clearInterval(watch)
      isLeft = true
      reject(busy())
    }
    ended = turns.ended
  }, patience)
  const begin = async (): Promise<void> => {
    clearInterval(watch)
    if (isLeft) return
    const part: Part = { transaction, outer, last: Promise.resolve(), ended: 0 }
    await within.run(part, work).then(resolve, reject)
    turns.ended += 1
  }
  // However the one before has ended: whoever asked for it knows.
  turns.last = turns.last.then(begin)
  return promise
}

function busy(): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_TRANSACTION_BUSY',
    `what was begun before in the same transaction has not ended within ${patience / 1000} s, and what is done in one transaction takes turns`,
  )
}

function turnsIn(transaction: object): Turns {
  for (let part = within.getStore(); part !== undefined; part = part.outer) {
    if (part.transaction === transaction) return part
  }
  const known = outermost.get(transaction)
  if (known !== undefined) return known
  const turns = { last: Promise.resolve(), ended: 0 }
  outermost.set(transaction, turns)
  return turns
}

async function undoable<T>(executor: Executor, work: () => Promise<T>): Promise<T> {
  await executor.query(`SAVEPOINT ${savepoint}`)
  try {
    const answer = await work()
    await executor.query(`RELEASE SAVEPOINT ${savepoint}`)
    return answer
  } catch (error) {
    await undo(executor)
    throw error
  }
}

async function undo(executor: Executor): Promise<void> {
  try {
    await executor.query(`ROLLBACK TO SAVEPOINT ${savepoint}`)
    await executor.query(`RELEASE SAVEPOINT ${savepoint}`)
  } catch {
    // The transaction cannot go on, nor commit. What failed first says why.
  }
}
