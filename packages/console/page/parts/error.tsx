import type { JSX } from 'preact'
import { Problem } from '../data/client.ts'
import type { ErrorView } from '../data/types.ts'
import { cut } from './text.tsx'

/** An error of a handler or a job: what, what to do, and where if that may be seen. */
export function ErrorNotice({
  error,
  title,
}: {
  readonly error: ErrorView
  readonly title?: string
}): JSX.Element {
  const stack = error.cause?.stack ?? error.stack
  return (
    <div class="notice bad">
      {title !== undefined && <span class="quiet">{title}</span>}
      <strong>{cut((error.cause ?? error).message, 2_000)}</strong>
      {error.cause !== undefined && <p class="quiet">{cut(plainly(error), 1_000)}</p>}
      <span class="quiet mono">{error.code ?? error.name}</span>
      {error.hint !== undefined && <p class="hint">{error.hint}</p>}
      {stack !== undefined && (
        <details>
          <summary>Stack</summary>
          <pre class="code">{cut(stack, 8_000)}</pre>
        </details>
      )}
    </div>
  )
}

/** Its message without its code, which stands beside it. */
function plainly({ code, message }: ErrorView): string {
  return code !== undefined && message.startsWith(`${code}: `)
    ? message.slice(code.length + 2)
    : message
}

/** A look that failed. */
export function LoadError({
  error,
  stale,
}: {
  readonly error: Error
  readonly stale: boolean
}): JSX.Element {
  const offline = !(error instanceof Problem)
  return (
    <div class={`notice ${stale ? 'warn' : 'bad'}`} role="alert">
      <strong>{offline ? 'The server does not answer' : error.message}</strong>
      <p class="hint">
        {offline
          ? 'What is shown may be old. This page keeps asking.'
          : (error.hint ?? (error.code === undefined ? '' : error.code))}
      </p>
    </div>
  )
}
