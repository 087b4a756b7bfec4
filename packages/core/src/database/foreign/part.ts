import { AsyncLocalStorage } from 'node:async_hooks'
import type { Executor } from '../executor.ts'
import { ForeignExecutor } from './foreign-executor.ts'

/** What is done one after the other in one transaction. */
interface Turns {
  last: Promise<unknown>
}

/** A part that is under way; parts within it take turns of their own. */
interface Part extends Turns {
  readonly transaction: object
  readonly outer: Part | undefined
}

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
 * @throws what the work throws.
 */
export function inTurn<T>(executor: Executor, work: () => Promise<T>): Promise<T> {
  const transaction = executor instanceof ForeignExecutor ? executor.transaction : executor
  const turns = turnsIn(transaction)
  const outer = within.getStore()
  const begin = (): Promise<T> => within.run({ transaction, outer, last: Promise.resolve() }, work)
  // However the one before has ended: whoever asked for it knows.
  const turn = turns.last.then(begin, begin)
  turns.last = turn
  return turn
}

function turnsIn(transaction: object): Turns {
  for (let part = within.getStore(); part !== undefined; part = part.outer) {
    if (part.transaction === transaction) return part
  }
  const known = outermost.get(transaction)
  if (known !== undefined) return known
  const turns = { last: Promise.resolve() }
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
