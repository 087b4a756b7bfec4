import { signal } from '@preact/signals'
import type { ComponentChildren, JSX } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { refusal } from '../data/access.ts'
import { Problem } from '../data/client.ts'
import { changed } from '../data/use-data.ts'
import { CliCommand } from './copy.tsx'
import { tell } from './toasts.tsx'

/** Something that changes something, asked about first. */
export interface Action {
  /** Also the text of the button that does it. */
  readonly title: string
  /** What will happen. */
  readonly body: ComponentChildren
  readonly danger?: boolean
  /** What does the same on the command line. */
  readonly cli?: string
  /** Does it, and answers what to say then. */
  readonly run: () => Promise<string>
}

const asked = signal<Action | undefined>(undefined)

/** Asks whether it shall be done, and does it. */
function ask(action: Action): void {
  asked.value = action
}

/** A button for an action; one that the reader may not take says so. */
export function ActionButton({
  needs,
  text,
  about,
  action,
  kind = '',
}: {
  /** What the API calls it. */
  readonly needs: string
  readonly text: string
  /** What it is called where its text alone does not say it: beside others of the same text. Begins with the text. */
  readonly about?: string
  readonly action: () => Action | Promise<Action>
  readonly kind?: string
}): JSX.Element {
  const reason = refusal(needs)
  const begin = async (): Promise<void> => {
    try {
      ask(await action())
    } catch (error) {
      tell((error as Error).message, 'bad')
    }
  }
  return (
    <button
      type="button"
      class={`button ${kind}`}
      disabled={reason !== undefined}
      aria-label={about}
      title={reason}
      onClick={() => void begin()}
    >
      {text}
    </button>
  )
}

/** Where actions are asked about: once on the page. */
export function ActionDialog(): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<Error | undefined>(undefined)
  const action = asked.value
  useEffect(() => {
    setError(undefined)
    if (action === undefined) dialog.current?.close()
    else dialog.current?.showModal()
  }, [action])
  const close = (): void => {
    asked.value = undefined
  }
  const run = async (): Promise<void> => {
    if (action === undefined || busy) return
    setBusy(true)
    try {
      tell(await action.run())
      close()
    } catch (reason) {
      setError(reason as Error)
    } finally {
      setBusy(false)
      // After it has gone elsewhere, if it has.
      setTimeout(changed)
    }
  }
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="action-title">
      {action !== undefined && (
        <form
          method="dialog"
          onSubmit={(event) => {
            event.preventDefault()
            void run()
          }}
        >
          <h2 id="action-title">{action.title}</h2>
          <div>{action.body}</div>
          {action.cli !== undefined && <CliCommand command={action.cli} />}
          {error !== undefined && (
            <div class="notice bad" role="alert">
              <strong>{error.message}</strong>
              {error instanceof Problem && error.hint !== undefined && (
                <p class="hint">{error.hint}</p>
              )}
            </div>
          )}
          <div class="buttons">
            <button type="button" class="button" onClick={close}>
              Leave it
            </button>
            <button
              type="submit"
              class={`button primary ${action.danger === true ? 'danger' : ''}`}
              disabled={busy}
            >
              {action.title}
            </button>
          </div>
        </form>
      )}
    </dialog>
  )
}
