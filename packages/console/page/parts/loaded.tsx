import type { ComponentChildren, JSX } from 'preact'
import type { Data } from '../data/use-data.ts'
import { LoadError } from './error.tsx'

/** Shows what was loaded, and says when it could not be. */
export function Loaded<T>({
  data,
  children,
}: {
  readonly data: Data<T>
  readonly children: (value: T) => ComponentChildren
}): JSX.Element {
  const { value, error } = data
  return (
    <>
      {error !== undefined && <LoadError error={error} stale={value !== undefined} />}
      {value !== undefined && children(value)}
      {value === undefined && error === undefined && <div class="skeleton" aria-busy="true" />}
    </>
  )
}
