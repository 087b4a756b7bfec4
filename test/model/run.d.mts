/** One search: a model and what it is compiled with. */
export interface Case {
  /** The model's name and its defines, as `--explain` takes it. */
  readonly name: string
  readonly model: 'horizon' | 'doorbell' | 'lease'
  readonly defines: readonly string[]
  /** What a search of every state has to find. */
  readonly expected: 'nothing' | 'failure'
  /** Where the case runs: in the tests too, in the usual run, or only with `--deep`. */
  readonly set: 'test' | 'usual' | 'deep'
}

/** What a search came to. */
export interface Result {
  /**
   * `other failure`: an assertion broke, but not the property that the model is about.
   * `incomplete`: the search ended for lack of memory or depth, or met a deadlock.
   */
  readonly found: 'nothing' | 'failure' | 'other failure' | 'incomplete'
  readonly expected: boolean
  /** Different states visited. */
  readonly states: number
  /** Seconds for translating, compiling and searching. */
  readonly seconds: number
  /** The verifier's own report. */
  readonly output: string
  /** With `explain`: the steps that lead to the failure; else empty. */
  readonly explanation: string
}

/** Every case of every model. */
export declare const cases: readonly Case[]

/** Why the models cannot be run on this machine, or undefined when they can. */
export declare const missing: string | undefined

/**
 * Searches every state of one case; no more than two searches run at a time.
 *
 * @throws when spin or the compiler fails, or the signal is aborted
 */
export declare function search(
  subject: Case,
  options?: { readonly signal?: AbortSignal; readonly explain?: boolean },
): Promise<Result>
