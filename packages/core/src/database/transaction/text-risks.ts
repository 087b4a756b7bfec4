import { TidemarkError } from '../../errors/tidemark-error.ts'
import { altersSession, leavesTraces } from './session-traces.ts'
import { verdictOn, type Verdict } from './transaction-control.ts'

/** What a text of a handler's may do beside what it is for. */
export interface Risks {
  /** To its transaction. */
  readonly verdict: Verdict
  /** Whether it changes what names mean to its session, what its role may do, or how long its statements may take. */
  readonly alters: boolean
  /** What it may leave in its session: `'some'` can be cleaned, `'lasting'` (a prepared statement) cannot. */
  readonly traces: 'none' | 'some' | 'lasting'
}

const known = new Map<string, Risks>()
const mostKnown = 1000
const longestKnown = 10_000

/**
 * Looks at each text once: reading it took as long as all else that is done to send it.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION when it is none: the driver takes configurations and cursors, too;
 * and when it could not be sent.
 */
export function risksOf(text: string): Risks {
  const before = known.get(text)
  if (before !== undefined) return before
  requireText(text)
  const risks = judge(text)
  if (text.length > longestKnown) return risks
  // Texts that are made anew each time; those that come again are soon known again.
  if (known.size >= mostKnown) known.clear()
  known.set(text, risks)
  return risks
}

function requireText(text: unknown): void {
  if (typeof text === 'string') {
    // The text ends there for the server, and what follows is no message: 08P01, as of a broken connection.
    if (!text.includes('\0')) return
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', 'a statement cannot have U+0000 in its text')
  }
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `a statement is a text, and not ${text === null ? 'null' : `of type ${typeof text}`}`,
    {
      hint: 'Call `query(text, values)`. Read pages with a limit and a keyset condition instead of a cursor.',
    },
  )
}

function judge(text: string): Risks {
  const verdict = verdictOn(text)
  const lasting = verdict.prepares > 0 || deallocates.test(text)
  return Object.freeze({
    verdict,
    alters: altersSession(text),
    traces: lasting ? 'lasting' : leavesTraces(text) ? 'some' : 'none',
  })
}

// Takes the prepared statements that the driver takes for there: the connection is of no use to anybody else.
const deallocates = /\b(?:deallocate|discard)\b/iu
