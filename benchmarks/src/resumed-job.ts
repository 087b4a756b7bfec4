/** The job that goes on after many steps. */
export const resumedJob = 'bench.resumed'

/** What its steps are called; in SQL, what is before the number. */
export const stepPrefix = 'step '

export const stepName = (n: number): string => `${stepPrefix}${n}`
