import { TidemarkError } from 'tidemark'
import type { Write, WriteOutcome } from '../backend/backend.ts'

/** The error of a write that the backend has refused. */
export function refused(
  backend: string,
  write: Write,
  outcome: Exclude<WriteOutcome, { is: 'written' }>,
): TidemarkError {
  const { key, op, token, ifVersion } = write
  const details = { backend, key, op, version: outcome.state?.version, token: outcome.state?.token }
  switch (outcome.is) {
    case 'fenced':
      return new TidemarkError(
        'TIDEMARK_STATE_FENCED',
        `"${key}" was written with token ${outcome.state.token}, and this ${op} has ${token}`,
        { details },
      )
    case 'exists':
      return new TidemarkError(
        'TIDEMARK_STATE_EXISTS',
        `"${key}" exists, in version ${outcome.state.version}`,
        { details },
      )
    case 'conflict':
      return new TidemarkError(
        'TIDEMARK_STATE_CONFLICT',
        `"${key}" has version ${outcome.state.version}, and this ${op} expects ${ifVersion}`,
        { details },
      )
    case 'missing':
      return new TidemarkError('TIDEMARK_STATE_MISSING', `there is no state "${key}" to ${op}`, {
        details,
      })
  }
}
