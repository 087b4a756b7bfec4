export {
  runHistory,
  type RunHistory,
  type RunHistoryOptions,
  type RunListOptions,
  type RunPage,
  type RunRecord,
} from './run-history.ts'
