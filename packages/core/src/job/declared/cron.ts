import { Cron } from 'croner'
import { requireText, shown } from '../../errors/checked-text.ts'
import { messageOf } from '../../errors/describe-error.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'

// A time that does not pass: whether an expression is right must not depend on the day on which it is looked at.
const fixed = new Date('2000-01-01T00:00:00Z')

/**
 * The times that a cron expression means.
 *
 * @throws TidemarkError TIDEMARK_INVALID_OPTION when it is none, never comes, or means one moment only.
 */
export function parseCron(where: string, cron: unknown, timeZone: unknown): Cron {
  requireText(where, 'cron', cron, { most: 200 })
  requireText(where, 'timeZone', timeZone, { most: 100 })
  const fields = cron.trim().split(/\s+/u)
  const isNickname = fields.length === 1 && fields[0]?.startsWith('@') === true
  if (!isNickname && fields.length !== 5 && fields.length !== 6) {
    throw invalid(where, `${shown(cron)} is not a cron expression of five or six fields`)
  }
  try {
    const times = new Cron(cron, { timezone: timeZone, paused: true })
    if (times.nextRun(fixed) !== null) return times
  } catch (cause) {
    throw invalid(where, messageOf(cause), cause)
  }
  throw invalid(where, `${shown(cron)} never comes`)
}

function invalid(where: string, reason: string, cause?: unknown): TidemarkError {
  return new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: ${reason}`, {
    hint: 'For instance `cron: "0 3 * * *", timeZone: "Europe/Berlin"`: every night at three. For one moment, spawn a job with `runAt`.',
    ...(cause === undefined ? {} : { cause }),
  })
}
