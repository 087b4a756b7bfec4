export { serviceStore, type ServiceStoreOptions } from './service-store.ts'
export {
  stateClient,
  type StateClient,
  type StateClientOptions,
  type StateClientStatus,
  type StateSource,
} from './state-client.ts'
