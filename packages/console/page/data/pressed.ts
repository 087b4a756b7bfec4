/**
 * Whether a pointer is held down. A click is where it was pressed and released: what is drawn anew in between, or only
 * moved, swallows it.
 */
let held: PromiseWithResolvers<void> | undefined

/** Begins to watch the pointer. */
export function followPointer(): void {
  const release = ({ type, target }: Event): void => {
    // An element that loses the focus, by the very press, says so, too.
    if (type === 'blur' && target !== window) return
    // After the click, which comes with the release.
    setTimeout(() => {
      held?.resolve()
      held = undefined
    })
  }
  const watch = { capture: true, passive: true }
  addEventListener('pointerdown', () => (held ??= Promise.withResolvers<void>()), watch)
  for (const end of ['pointerup', 'pointercancel', 'blur', 'visibilitychange', 'dragend'])
    addEventListener(end, release, watch)
}

/** Waits until no pointer is held down: at once, mostly. */
export async function whenReleased(): Promise<void> {
  await held?.promise
}
