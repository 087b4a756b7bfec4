import type { JSX } from 'preact'
import { tell } from './toasts.tsx'

/** Copies a text. */
export function CopyButton({
  text,
  what,
}: {
  readonly text: string
  readonly what: string
}): JSX.Element {
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text)
      tell(`Copied: ${what}`)
    } catch {
      tell('The browser did not let it be copied.', 'bad')
    }
  }
  return (
    <button
      type="button"
      class="button plain"
      onClick={() => void copy()}
      aria-label={`Copy ${what}`}
    >
      Copy
    </button>
  )
}

/** What does the same on the command line. */
export function CliCommand({ command }: { readonly command: string }): JSX.Element {
  return (
    <div class="command">
      <code>{command}</code>
      <CopyButton text={command} what="as a command" />
    </div>
  )
}

/** An argument as a shell takes it. */
export function quoted(text: string): string {
  return /^[\w./:@-]+$/u.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}
