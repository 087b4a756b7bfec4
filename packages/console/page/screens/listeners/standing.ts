import type { Listener } from '../../data/types.ts'
import type { Tone } from '../../parts/badge.tsx'

/** How a listener stands, in more words than its status: one that nobody runs is active, too. */
export function standingOf(listener: Listener): {
  readonly state: string
  readonly tone: Tone
  readonly why?: string
} {
  const { status, partitions, mode, resize } = listener
  const failing = partitions.find(({ lastError }) => lastError !== null)
  const why = failing?.lastError?.cause?.message ?? failing?.lastError?.message
  if (status === 'halted')
    return { state: 'halted', tone: 'bad', ...(why === undefined ? {} : { why }) }
  if (status === 'paused') return { state: 'paused', tone: 'rest' }
  if (resize !== null) return { state: 'resizing', tone: 'busy' }
  const waits = partitions.some(({ attempts }) => attempts > 0)
  if (waits && why !== undefined) return { state: 'retrying', tone: 'warn', why }
  if (mode === 'inline') return { state: 'inline', tone: 'good' }
  if (partitions.every(({ owner }) => owner === null))
    return { state: 'no process runs it', tone: 'warn' }
  return { state: status, tone: status === 'active' ? 'good' : 'busy' }
}

/** Seconds behind, as people say it. */
export function behind({ lag, lagSeconds }: Listener): string {
  if (lag === '0' || lagSeconds <= 0) return ''
  return lagSeconds < 1 ? '< 1 s' : `${Math.round(lagSeconds)} s`
}
