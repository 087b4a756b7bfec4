export {
  runHistory,
  type RunHistory,
  type RunHistoryOptions,
  type RunListOptions,
  type RunPage,
} from './run-history.ts'
export type { RunRecord } from './run-record.ts'
