import { requireOneOf } from '../../errors/checked-values.ts'
import { rejectUnknownOptions } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import { milliseconds } from '../../listener/declared/backoff.ts'
import type { SpawnOptions } from '../../listener/declared/spawning.ts'

/** What several spawns with one unique key become. Debouncing and throttling are ways of replacing. */
interface Gathering {
  readonly onDuplicate: 'keep' | 'replace' | 'fail'
  /** How many milliseconds it waits at least. */
  readonly delay: number
  readonly keepsTime: boolean
  readonly longest: number | null
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION. */
export function gathered(
  where: string,
  options: SpawnOptions,
  uniqueKey: string | null,
): Gathering {
  const { debounce, throttle, delay, onDuplicate = 'keep' } = options
  requireOneOf(where, 'onDuplicate', onDuplicate, ['keep', 'replace', 'fail'])
  const alone = { keepsTime: false, longest: null }
  if (debounce === undefined && throttle === undefined) {
    if (delay !== undefined) refuseBeside(where, options, 'delay', ['runAt'])
    return { ...alone, onDuplicate, delay: delay === undefined ? 0 : milliseconds(delay) }
  }
  const what = debounce === undefined ? 'throttle' : 'debounce'
  refuseBeside(where, options, what, ['throttle', 'delay', 'runAt', 'onDuplicate'])
  if (uniqueKey === null) {
    throw new TidemarkError('TIDEMARK_INVALID_OPTION', `${where}: "${what}" needs a unique key`, {
      hint: 'What has the same `uniqueKey` is gathered into one job.',
    })
  }
  if (throttle !== undefined) {
    return {
      onDuplicate: 'replace',
      delay: milliseconds(throttle),
      keepsTime: true,
      longest: null,
    }
  }
  if (typeof debounce !== 'object') {
    return { ...alone, onDuplicate: 'replace', delay: milliseconds(debounce ?? 0) }
  }
  rejectUnknownOptions(`${where}: debounce`, debounce, ['window', 'longest'])
  const { window, longest } = debounce
  return {
    onDuplicate: 'replace',
    delay: milliseconds(window),
    keepsTime: false,
    longest: longest === undefined ? null : milliseconds(longest),
  }
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION when one of `others` is given, too. */
function refuseBeside(
  where: string,
  options: SpawnOptions,
  what: keyof SpawnOptions,
  others: readonly (keyof SpawnOptions)[],
): void {
  const other = others.find((option) => option !== what && options[option] !== undefined)
  if (other === undefined) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where} has "${what}" and "${other}", and each says when it runs`,
    { hint: 'Give one of them.' },
  )
}
