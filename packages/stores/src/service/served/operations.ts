import type { StateStore } from '../../contract/state-store.ts'
import { answerLine } from '../protocol/answer.ts'
import { invalidRequest, type RequestId, type StateRequest } from '../protocol/request.ts'
import { jobText, unreadableText } from '../protocol/wire-job.ts'
import { KeyedOrder } from './keyed-order.ts'

/** Carries requests out on a store. */
export class Operations {
  readonly #store: StateStore
  readonly #order = new KeyedOrder()
  readonly #mostBytes: number

  /** @param mostBytes - the most bytes of an answer. */
  constructor(store: StateStore, mostBytes: number) {
    this.#store = store
    this.#mostBytes = mostBytes
  }

  /** The line of the answer. */
  async answer(id: RequestId, request: StateRequest): Promise<string> {
    const store = this.#store
    switch (request.op) {
      case 'list':
        return this.#list(id, request)
      case 'sync': {
        const report = await store.sync(request.entries, request.options)
        return answerLine(id, `"report":${JSON.stringify(report)}`)
      }
      case 'health':
        return answerLine(id, `"health":${JSON.stringify(await store.health())}`)
      default:
        return this.#order.run(request.key, () => this.#ofOne(id, request))
    }
  }

  async #ofOne(
    id: RequestId,
    request: Exclude<StateRequest, { op: 'list' | 'sync' | 'health' }>,
  ): Promise<string> {
    const store = this.#store
    const { key } = request
    switch (request.op) {
      case 'create':
        return this.#job(id, jobText(await store.create(key, request.state, request.options)))
      case 'put':
        return this.#job(id, jobText(await store.put(key, request.state, request.options)))
      case 'update':
        return this.#job(id, jobText(await store.update(key, request.change, request.options)))
      case 'delete':
        return answerLine(id, `"deleted":${await store.delete(key, request.options)}`)
      case 'get': {
        const state = await store.get(key)
        return this.#job(id, state === undefined ? 'null' : jobText(state))
      }
    }
  }

  #job(id: RequestId, job: string): string {
    return this.#fitting(answerLine(id, `"job":${job}`))
  }

  /** A page that is too large to be sent becomes a smaller one: there is a next one. */
  async #list(id: RequestId, { options }: Extract<StateRequest, { op: 'list' }>): Promise<string> {
    for (let limit = options.limit ?? 100; ; limit = Math.floor(limit / 2)) {
      const { states, unreadable, next } = await this.#store.list({ ...options, limit })
      const jobs = states.map((state) => jobText(state)).join(',')
      const skipped = unreadable.map((state) => unreadableText(state)).join(',')
      const left = options.onUnreadable === 'skip' ? `,"unreadable":[${skipped}]` : ''
      const line = answerLine(id, `"jobs":[${jobs}]${left},"next":${JSON.stringify(next)}`)
      if (limit <= 1 || Buffer.byteLength(line) <= this.#mostBytes) return this.#fitting(line)
    }
  }

  #fitting(line: string): string {
    const bytes = Buffer.byteLength(line)
    if (bytes <= this.#mostBytes) return line
    throw invalidRequest(`the answer has ${bytes} bytes, and may have ${this.#mostBytes}`)
  }
}
