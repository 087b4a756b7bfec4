export { memoryStore } from './memory-store.ts'
export { MemoryBackend } from './memory-backend.ts'
