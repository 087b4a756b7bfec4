export { serviceStore, type ServiceStoreOptions } from './service-store.ts'
