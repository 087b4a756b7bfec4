export { exceptions } from './exceptions.ts'
export { promises, type PromiseName } from './promises.ts'
export type { ConformanceSubject } from './subject.ts'
export { testStateStore, type ConformanceOptions } from './test-state-store.ts'
