import { openStore } from '@tidemark/stores'
import { exceptions, testStateStore } from '@tidemark/stores/conformance'
import { MemoryBackend } from '@tidemark/stores/memory'

// One backend for all: it is the server, too.
const backend = new MemoryBackend()

testStateStore(
  'memory',
  () => ({ open: (options) => openStore(backend, options), backend: () => backend }),
  { without: exceptions.memory },
)
