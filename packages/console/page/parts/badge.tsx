import type { JSX } from 'preact'

export type Tone = 'good' | 'warn' | 'bad' | 'busy' | 'rest'

const tones: Readonly<Record<string, Tone>> = {
  ok: 'good',
  active: 'good',
  completed: 'good',
  handled: 'good',
  fired: 'good',
  alive: 'good',
  running: 'busy',
  rebuilding: 'busy',
  retry: 'busy',
  resizing: 'busy',
  warning: 'warn',
  retrying: 'warn',
  failing: 'warn',
  parked: 'warn',
  behind: 'warn',
  overlapped: 'warn',
  missed: 'warn',
  failed: 'bad',
  halted: 'bad',
  silent: 'bad',
  crashed: 'bad',
}

/** A state, in a colour that is never the only thing that says it. */
export function Badge({
  state,
  tone = tones[state] ?? 'rest',
  title,
}: {
  readonly state: string
  readonly tone?: Tone
  readonly title?: string | undefined
}): JSX.Element {
  const hollow = ['scheduled', 'queued', 'waiting', 'paused'].includes(state)
  return (
    <span class={`badge ${tone} ${hollow ? 'hollow' : ''}`} title={title}>
      {state}
    </span>
  )
}

export function toneOf(state: string): Tone {
  return tones[state] ?? 'rest'
}
