import { signal } from '@preact/signals'
import type { JSX } from 'preact'

interface Toast {
  readonly id: number
  readonly text: string
  readonly tone: 'good' | 'bad'
}

const toasts = signal<readonly Toast[]>([])
let last = 0

/** Says something in the corner for a while; screen readers say it, too. */
export function tell(text: string, tone: Toast['tone'] = 'good'): void {
  const id = (last += 1)
  toasts.value = [...toasts.value.slice(-3), { id, text, tone }]
  setTimeout(
    () => {
      toasts.value = toasts.value.filter((toast) => toast.id !== id)
    },
    tone === 'bad' ? 12_000 : 5_000,
  )
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status">
      {toasts.value.map(({ id, text, tone }) => (
        <div key={id} class={`toast ${tone}`}>
          {text}
        </div>
      ))}
    </div>
  )
}
