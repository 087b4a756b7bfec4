import { requireOptions, requireWhole } from '../../errors/options.ts'
import { TidemarkError } from '../../errors/tidemark-error.ts'
import type { EncodedValue } from '../../event/encoded/codec.ts'

/** What a state of an older version becomes in the next one. */
export type StateUpcaster = (old: never) => unknown

/** How the stored states of a projection change their form without being derived again. */
export interface StateVersionOptions {
  /**
   * The version of the form that states are stored in. Raise it when the form changes and the old states hold all that
   * the new form needs: then nothing is rebuilt. Defaults to 1.
   */
  readonly stateVersion?: number
  /** Makes a state of version n + 1 of one of version n: a function for each older version. */
  readonly upcastState?: Readonly<Record<number, StateUpcaster>>
}

/** Notes the version of a state beside it, with what JSON cannot say of it. The first version needs no note. */
export function withVersion({ json, meta }: EncodedValue, version: number): EncodedValue {
  if (version === 1) return { json, meta }
  const note = `"stateVersion":${version}}`
  return { json, meta: meta === null ? `{${note}` : `${meta.slice(0, -1)},${note}` }
}

/** The version of a stored state, and the state without it. */
export function versionOf({ json, meta }: EncodedValue): {
  readonly version: number
  readonly encoded: EncodedValue
} {
  if (meta === null) return { version: 1, encoded: { json, meta } }
  const { stateVersion = 1, ...notes } = JSON.parse(meta) as { stateVersion?: number }
  const rest = Object.keys(notes).length === 0 ? null : JSON.stringify(notes)
  return { version: stateVersion, encoded: { json, meta: rest } }
}

/** @throws TidemarkError TIDEMARK_INVALID_OPTION when a version cannot be read, or one is read that there is not. */
export function checkStateVersion(
  where: string,
  { stateVersion = 1, upcastState = {} }: StateVersionOptions,
): void {
  requireWhole(where, 'stateVersion', stateVersion, 1, 2_147_483_647)
  requireOptions(`${where}: upcastState`, upcastState)
  const missing = Array.from({ length: stateVersion - 1 }, (_, index) => index + 1).find(
    (version) => typeof upcastState[version] !== 'function',
  )
  if (missing !== undefined) {
    throw new TidemarkError(
      'TIDEMARK_INVALID_OPTION',
      `${where} has states of version ${stateVersion} but cannot read version ${missing}`,
      {
        hint: `Add \`upcastState: { ${missing}: (state) => … }\`, which makes a version ${missing + 1} of it; or raise \`version\` to derive all states again.`,
      },
    )
  }
  const stray = Object.keys(upcastState).find(
    (from) => !(Number(from) >= 1 && Number(from) < stateVersion),
  )
  if (stray === undefined) return
  throw new TidemarkError(
    'TIDEMARK_INVALID_OPTION',
    `${where} has an upcaster of states of version ${stray}, but its stateVersion is ${stateVersion}`,
    { hint: 'Raise `stateVersion`, or remove the upcaster.' },
  )
}
