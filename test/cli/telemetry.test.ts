import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { appConfig, appTables } from './app.ts'
import { Project } from './project.ts'
import { TidemarkProcess } from './tidemark.ts'

let project: Project
let collector: Collector

beforeEach(async () => {
  project = await Project.create(appConfig, appTables)
  collector = await Collector.start()
})

afterEach(async () => {
  await collector.stop()
  await project[Symbol.asyncDispose]()
})

/** What speaks OTLP over HTTP, and keeps what it is sent. */
class Collector {
  readonly spans: string[] = []
  readonly services = new Set<string>()
  readonly paths = new Set<string>()
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      void this.#take(request).finally(() => response.end('{}'))
    })
  }

  static async start(): Promise<Collector> {
    const started = new Collector()
    started.#server.listen(0, '127.0.0.1')
    await once(started.#server, 'listening')
    return started
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  async #take(request: IncomingMessage): Promise<void> {
    this.paths.add(request.url ?? '')
    const body = await json(request)
    if (request.url === '/v1/traces') this.#remember(body as Traces)
  }

  #remember({ resourceSpans }: Traces): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const name = resource.attributes.find(({ key }) => key === 'service.name')
      this.services.add(name?.value.stringValue ?? '')
      this.spans.push(...scopeSpans.flatMap(({ spans }) => spans.map((span) => span.name)))
    }
  }
}

interface Traces {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly { key: string; value: { stringValue?: string } }[]
    }
    readonly scopeSpans: readonly { readonly spans: readonly { readonly name: string }[] }[]
  }[]
}

/** Has a worker handle one event and end. */
async function work(env: Readonly<Record<string, string>>): Promise<string> {
  const { cwd, env: own } = project.options
  const sequence = await project.publish('accounts.noted', { text: 'good' })
  await using worker = new TidemarkProcess(['worker'], { cwd, env: { ...own, ...env } })
  await worker.printed('stderr', 'the worker runs')
  expect((await project.call('wait', 'letters', sequence)).code).toBe(0)
  worker.child.kill('SIGTERM')
  expect((await worker.answer()).code).toBe(0)
  return worker.stderr
}

test('a worker sends spans and metrics where OTEL_* says, the last ones before it ends', async () => {
  await work({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    // Longer than the test: what arrives was flushed.
    OTEL_BSP_SCHEDULE_DELAY: '600000',
    OTEL_METRIC_EXPORT_INTERVAL: '600000',
  })
  expect(collector.spans).toContain('process letters')
  expect([...collector.services]).toEqual(['tidemark-worker'])
  expect([...collector.paths].toSorted()).toEqual(['/v1/metrics', '/v1/traces'])
})

test('what was not asked for is not sent, and nothing is without being asked', async () => {
  await work({
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_SERVICE_NAME: 'letters',
  })
  expect([...collector.services]).toEqual(['letters'])
  expect([...collector.paths]).toEqual(['/v1/traces'])
  collector.paths.clear()
  await work({ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' })
  await work({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_SDK_DISABLED: 'true' })
  expect([...collector.paths]).toEqual([])
})

test('without the package the worker works, and says what to install', async () => {
  const hook = `import { registerHooks } from 'node:module'
    registerHooks({ resolve(specifier, context, next) {
      if (specifier === '@opentelemetry/sdk-node') throw new Error('not installed')
      return next(specifier, context)
    } })`
  const logged = await work({
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}`,
  })
  expect(logged).toContain('npm install @opentelemetry/sdk-node @opentelemetry/api')
  expect([...collector.paths]).toEqual([])
})
