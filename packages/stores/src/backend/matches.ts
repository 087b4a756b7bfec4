import type { StateFilter } from '../contract/state.ts'
import type { StoredState } from './backend.ts'

/** Whether a state is what a filter asks for, for backends whose server cannot tell. */
export function matches(state: StoredState, filter: StateFilter): boolean {
  const { status, name, fields = {} } = filter
  if (typeof status === 'string' && state.status !== status) return false
  if (Array.isArray(status) && !(status as readonly (string | null)[]).includes(state.status)) {
    return false
  }
  if (name !== undefined && state.name !== name) return false
  for (const [field, value] of Object.entries(fields)) {
    if (!Object.hasOwn(state.fields, field) || state.fields[field] !== value) return false
  }
  return (
    within(state.createdAt, filter.createdFrom, filter.createdBefore) &&
    within(state.updatedAt, filter.updatedFrom, filter.updatedBefore)
  )
}

function within(time: number, from: Date | undefined, before: Date | undefined): boolean {
  return (
    (from === undefined || time >= from.getTime()) &&
    (before === undefined || time < before.getTime())
  )
}

/** The statuses that a filter asks for; undefined: any. */
export function statusesOf({ status }: StateFilter): readonly string[] | undefined {
  if (status === undefined) return undefined
  return typeof status === 'string' ? [status] : status
}
