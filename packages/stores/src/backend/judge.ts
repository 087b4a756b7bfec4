import type { StoredState, Write, WriteOutcome } from './backend.ts'

/** A state with the time until which it is remembered, in milliseconds since 1970; null: it does not end. */
export interface KeptState extends StoredState {
  readonly forgetAt: number | null
}

/**
 * What becomes of a write, for backends that read, judge and write by themselves; and for those whose server judges,
 * to find out which condition it was that did not hold. Undefined: it holds.
 */
export function refusal(
  current: StoredState | undefined,
  write: Write,
): Exclude<WriteOutcome, { is: 'written' }> | undefined {
  if (current !== undefined && write.token < current.token) return { is: 'fenced', state: current }
  const live = current?.live === true
  if (live && write.op === 'create') return { is: 'exists', state: current }
  if (!live && (write.op === 'update' || write.op === 'delete')) {
    return { is: 'missing', state: current }
  }
  if (write.ifVersion === undefined || write.ifVersion === (current?.version ?? 0)) return undefined
  return current === undefined
    ? { is: 'missing', state: undefined }
    : { is: 'conflict', state: current }
}

/** Whether this very write has happened already, and its answer was lost. */
export function isRepeated(current: StoredState, write: Write): boolean {
  return current.writeId === write.writeId
}

/** The state that a write which holds makes of the one before. */
export function written(current: StoredState | undefined, write: Write, now: number): KeptState {
  const { key, writeId, token, op } = write
  const before = current?.live === true ? current : undefined
  // A clock that was set back must not make it younger than it was. And what begins anew begins later than what was there
  // before: whoever tidies up after that one, by its time, must not meet this one.
  const begins = before === undefined && op !== 'delete'
  const updatedAt = Math.max(
    now,
    current?.updatedAt ?? 0,
    begins ? (current?.createdAt ?? 0) + 1 : 0,
  )
  const common = {
    key,
    writeId,
    token,
    version: (current?.version ?? 0) + 1,
    createdAt: before?.createdAt ?? updatedAt,
    updatedAt,
  }
  if (op === 'delete') {
    const forgetAt = now + write.remember
    const gone = { body: null, name: null, status: null, fields: {}, live: false }
    return { ...common, ...gone, expiresAt: now, forgetAt }
  }
  const kept = op === 'update' ? before : undefined
  let expiresAt = kept?.expiresAt ?? null
  if (write.ttl !== undefined) expiresAt = write.ttl === null ? null : now + write.ttl
  return {
    ...common,
    body: write.body ?? kept?.body ?? null,
    name: write.name === undefined ? (kept?.name ?? null) : write.name,
    status: write.status === undefined ? (kept?.status ?? null) : write.status,
    fields: write.fields ?? kept?.fields ?? {},
    live: expiresAt === null || expiresAt > now,
    expiresAt,
    forgetAt: expiresAt === null ? null : expiresAt + write.remember,
  }
}
