import { signal } from '@preact/signals'
import { apiUrl, read } from './client.ts'

interface Access {
  readonly readOnly: boolean
  readonly allowed: Readonly<Record<string, boolean>>
}

/** What the reader may do here, as the server says; it decides again with each request. */
export const access = signal<Access>({ readOnly: false, allowed: {} })

export async function learnAccess(): Promise<void> {
  access.value = await read<Access>(apiUrl(['access']))
}

/** Why the reader may not do something; undefined: they may. */
export function refusal(action: string): string | undefined {
  const { readOnly, allowed } = access.value
  if (allowed[action] !== false) return undefined
  return readOnly ? 'This console is read-only.' : 'You may not do this here.'
}
