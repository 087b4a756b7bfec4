export type { ServiceLimits } from './served/limits.ts'
export { serveState, type StateService, type StateServiceOptions } from './served/state-service.ts'
export {
  readSettings,
  type ReadSettings,
  type SettingsSources,
} from './configured/read-settings.ts'
export { runService, type RunServiceOptions } from './configured/run-service.ts'
export {
  flagOf,
  serviceBackends,
  settings,
  variableOf,
  type ServiceBackend,
  type ServiceSettings,
  type Setting,
} from './configured/settings.ts'
export {
  superviseStateService,
  type SupervisedStateService,
  type SuperviseOptions,
} from './supervised/supervise.ts'
