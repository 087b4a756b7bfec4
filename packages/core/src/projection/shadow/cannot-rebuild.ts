import { TidemarkError } from '../../errors/tidemark-error.ts'

/** Why a projection cannot be rebuilt beside its live tables. */
export function cannotRebuild(
  projection: string,
  why: string,
  hint?: string,
  cause?: unknown,
): TidemarkError {
  return new TidemarkError('TIDEMARK_CANNOT_REBUILD', `${projection} cannot be rebuilt: ${why}`, {
    ...(hint === undefined ? {} : { hint }),
    ...(cause === undefined ? {} : { cause }),
    details: { projection },
  })
}
