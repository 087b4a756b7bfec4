import { jetstreamManager } from '@nats-io/jetstream'
import { Kvm } from '@nats-io/kv'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { defineIntake, defineRelay, jetstream, type JetStreamOptions } from '@tidemark/nats'
import { memoryContexts } from '@tidemark/stores/context'
import { createTestDatabase } from '@tidemark/testing'
import { defineEvent, defineJob, defineListener, type PayloadObjects } from 'tidemark'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { effectsOf, recorder } from '../support/effects.ts'
import { effectsTemplate, useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'
import { natsMissing, NatsServer } from './nats-server.ts'

const missing = natsMissing()
if (missing !== null) console.log(`what flows over relays is not tested: ${missing}`)

const quick = { leaseDuration: 2_000, acquireInterval: 50, handleSignals: false }
const filed = defineEvent('reports.filed', {
  version: 2,
  upcast: { 1: (old: { text: string; size: bigint; at: Date }) => old },
  payload: z.object({ text: z.string(), size: z.bigint(), at: z.date() }),
})
const report = (length: number) => ({
  text: 'ü'.repeat(length),
  size: BigInt(length),
  at: new Date(1_700_000_000_123),
})

describe.skipIf(missing !== null)('over JetStream', () => {
  const database = useFreshDatabase()
  let server: NatsServer
  let connection: NatsConnection
  let stream = 0

  beforeAll(async () => {
    server = await NatsServer.start()
  })
  afterAll(() => server[Symbol.asyncDispose]())
  beforeEach(async () => {
    stream += 1
    connection = await connect({ servers: server.servers })
    return () => connection.close()
  })

  const target = (options: Partial<JetStreamOptions> = {}) =>
    jetstream({ stream: `F${stream}`, connect: { servers: server.servers }, ...options })

  async function first() {
    const manager = await jetstreamManager(connection)
    const message = await manager.streams.getMessage(`F${stream}`, { seq: 1 })
    if (message === null) throw new Error('the stream is empty')
    return message
  }

  test('a payload beyond the limit of the broker goes through an object store', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    const store = memoryContexts()
    let altered = false
    const objects: PayloadObjects = {
      put: (name, text, options) => store.put(name, text, options),
      get: async (name, options) => {
        const text = await store.get(name, options)
        return altered ? text?.replace('üü', 'uu') : text
      },
    }
    await using a = appOn(database, [
      defineRelay('out', { to: target(), events: [filed], largePayloads: { objects } }),
    ])
    await using b = appOn(other, [
      defineIntake('in', { from: target(), largePayloads: { objects } }),
      recorder('there', {}, filed),
    ])
    await a.start(quick)
    await b.start(quick)
    // The broker takes a mebibyte; this has two.
    await a.publish([filed(report(3)), filed(report(1_048_576)), filed(report(4))])
    await expect.poll(() => effectsOf(other, 'there'), { timeout: 30_000 }).toHaveLength(3)
    const payloads = await Array.fromAsync(
      b.events({ types: [filed.type] }),
      (event) => event.payload,
    )
    expect(payloads).toEqual([report(3), report(1_048_576), report(4)])
    expect(await a.relays.verify('out')).toMatchObject({ messages: 3, difference: null })

    expect(store.objects.size).toBe(1)
    altered = true
    expect((await a.relays.verify('out')).difference).toMatchObject({
      kind: 'altered',
      position: 2n,
    })
  })

  test('an intake without the object store halts in front of what it cannot read', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    const largePayloads = { objects: memoryContexts(), above: 10 }
    await using a = appOn(database, [
      defineRelay('out', { to: target(), events: [filed], largePayloads }),
    ])
    await using b = appOn(other, [defineIntake('in', { from: target() }), filed])
    await a.publish(filed(report(20)))
    await a.start(quick)
    await b.start(quick)
    await expect
      .poll(async () => (await b.listeners.get('in')).partitions[0]?.lastError, { timeout: 30_000 })
      .toMatchObject({ code: 'TIDEMARK_RELAY_MESSAGE_INVALID' })
  })

  test('a message in structured mode is one CloudEvent in JSON, with everything', async () => {
    await using other = await createTestDatabase({ template: effectsTemplate })
    await using a = appOn(database, [
      defineRelay('out', { to: target({ mode: 'structured' }), events: [filed] }),
    ])
    await using b = appOn(other, [
      defineIntake('in', { from: target() }),
      recorder('there', {}, filed),
    ])
    const runner = await a.start(quick)
    await b.start(quick)
    const options = { stream: 'r-☃', correlationId: 'c "%"', metadata: { who: 'ann' } }
    const published = await a.publish(filed(report(3)), options)
    await expect.poll(() => effectsOf(other, 'there'), { timeout: 30_000 }).toHaveLength(1)
    const message = await first()
    expect(message.header.get('content-type')).toMatch(/^application\/cloudevents\+json/u)
    expect(message.json()).toMatchObject({
      specversion: '1.0',
      id: published.id,
      type: 'reports.filed',
      subject: 'r-☃',
      datacontenttype: 'application/json',
      data: { text: 'üüü', size: '3', at: '2023-11-14T22:13:20.123Z' },
    })
    // CloudEvents has only lower-case letters and digits in names.
    expect(
      Object.keys(message.json<object>()).filter((name) => !/^[a-z0-9]+$/u.test(name)),
    ).toEqual([])
    const [event] = await Array.fromAsync(b.events({ types: [filed.type] }))
    expect(event).toMatchObject({
      id: published.id,
      payload: report(3),
      correlationId: 'c "%"',
      key: 'r-☃',
    })
    expect(await a.relays.verify('out')).toMatchObject({ messages: 1, difference: null })
    // Going on reads the tip from the body.
    await runner.stop()
    await a.publish(filed(report(4)))
    await a.start(quick)
    await expect.poll(() => effectsOf(other, 'there'), { timeout: 30_000 }).toHaveLength(2)
  })

  test('the JSON Schema of each type is in a bucket before the first message', async () => {
    const odd = defineEvent('odd:type/of.things.', { payload: z.object({}) })
    const to = target({ schemas: `schemas${stream}` })
    await using app = appOn(database, [defineRelay('out', { to, events: [filed, odd] })])
    await app.start(quick)
    await app.publish(filed(report(1)))
    await expect
      .poll(
        () =>
          first().then(
            ({ subject }) => subject,
            () => null,
          ),
        { timeout: 30_000 },
      )
      .toBe(`f${stream}.reports.filed`)
    const bucket = await new Kvm(connection).open(`schemas${stream}`)
    const schema = await bucket.get('reports.filed.2')
    expect(schema?.json()).toMatchObject({
      title: 'reports.filed',
      properties: { at: { format: 'date-time' }, text: { type: 'string' } },
      required: ['text', 'size', 'at'],
    })
    expect((await bucket.get('odd=3atype/of.things=2e.1'))?.operation).toBe('PUT')
    // Opened again, it writes nothing again.
    const { revision } = schema as { revision: number }
    await (await to.sending([filed]).openForWriting(AbortSignal.timeout(10_000))).close()
    expect((await bucket.get('reports.filed.2'))?.revision).toBe(revision)
  })

  test('a job waits for the answer of another service, which is caused by its question', async () => {
    const asked = defineEvent('prices.asked', { payload: z.object({ item: z.string() }) })
    const answered = defineEvent('prices.answered', {
      payload: z.object({ item: z.string(), price: z.bigint() }),
    })
    await using other = await createTestDatabase({ template: effectsTemplate })
    const questions = () => target({ stream: `Q${stream}` })
    const quote = defineJob('quote', {
      input: z.string(),
      output: z.bigint(),
      run: async ({ input }, ctx) => {
        await ctx.step('ask', () => a.publish(asked({ item: input }), { key: input }))
        const answer = await ctx.waitForEvent('answer', answered, { key: input, timeout: '60s' })
        if (answer === undefined) throw new Error('nobody answers')
        return answer.payload.price
      },
    })
    await using a = appOn(database, [
      quote,
      defineRelay('questions', { to: questions(), events: [asked] }),
      defineIntake('answers', { from: target(), events: [answered] }),
    ])
    await using b = appOn(other, [
      defineIntake('questions', { from: questions(), events: [asked] }),
      defineListener('prices').on(asked, ({ payload, key }, { publish }) => {
        publish(answered({ item: payload.item, price: BigInt(payload.item.length) }), {
          key: key as string,
        })
      }),
      defineRelay('answers', { to: target(), events: [answered] }),
    ])
    await a.start(quick)
    await b.start(quick)
    const job = await a.jobs.spawn(quote, 'apple')
    expect(await job.result()).toBe(5n)
    const [question] = await Array.fromAsync(a.events({ types: [asked.type] }))
    const [answer] = await Array.fromAsync(a.events({ types: [answered.type] }))
    expect(answer?.correlationId).toBe(question?.correlationId)
  })
})
