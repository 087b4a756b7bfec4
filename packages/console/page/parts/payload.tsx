import type { ComponentChildren, JSX } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import { CopyButton } from './copy.tsx'
import { count } from './text.tsx'

// What fits in a minute of reading; a browser lays out a megabyte of coloured text for seconds.
const shownCharacters = 12_000

/** A value that users brought, as JSON: as text, cut when it is huge. */
export function Payload({
  value,
  label,
}: {
  readonly value: unknown
  readonly label: string
}): JSX.Element {
  const [whole, setWhole] = useState(false)
  const text = useMemo(() => JSON.stringify(value, null, 2) ?? 'nothing', [value])
  const isLong = text.length > shownCharacters
  const shown = isLong && !whole ? text.slice(0, shownCharacters) : text
  return (
    <div class="form">
      <div class="payload">
        {/* It scrolls, so the keyboard must reach it. */}
        <pre class="code" tabIndex={0} role="region" aria-label={label}>
          {isLong && whole ? shown : coloured(shown)}
          {isLong && !whole ? '…' : ''}
        </pre>
        <CopyButton text={text} what={label} />
      </div>
      {isLong && !whole && (
        <div class="buttons">
          <button type="button" class="button" onClick={() => setWhole(true)}>
            Show all {count(text.length)} characters
          </button>
        </div>
      )}
    </div>
  )
}

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)/giu

/** JSON in which keys, texts, numbers and words can be told apart. */
function coloured(text: string): ComponentChildren[] {
  const parts: ComponentChildren[] = []
  let end = 0
  for (const match of text.matchAll(token)) {
    const [all, quoted, colon, word, number] = match
    parts.push(text.slice(end, match.index))
    end = match.index + all.length
    if (quoted !== undefined) {
      parts.push(
        <span class={colon === undefined ? 'json-string' : 'json-key'}>{quoted}</span>,
        colon,
      )
    } else
      parts.push(
        <span class={word === undefined ? 'json-number' : 'json-word'}>{word ?? number}</span>,
      )
  }
  parts.push(text.slice(end))
  return parts
}
