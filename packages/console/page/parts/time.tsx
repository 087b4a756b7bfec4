import type { JSX } from 'preact'
import { clock, now, relative, timeStyle } from '../time.ts'

/** A time as the reader wants times, with the exact one in both zones at hand. */
export function Time({ at }: { readonly at: string | null | undefined }): JSX.Element {
  if (at === null || at === undefined) return <span class="quiet">–</span>
  const style = timeStyle.value
  const shown = style === 'relative' ? relative(Date.parse(at), now.value) : clock(at, style)
  return (
    <time dateTime={at} title={`${clock(at, 'local')}\n${clock(at, 'UTC')}`} class="number">
      {shown}
    </time>
  )
}
