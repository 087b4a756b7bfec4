import { expect, test } from 'vitest'
import { heldStore, rawClient, serve } from './served.ts'

test('each operation answers what it has done', async () => {
  const raw = await rawClient(await serve())
  const created = await raw.ask({
    op: 'create',
    jobId: 'import-1',
    job: { value: { rows: 0 }, name: 'import', status: 'running', fields: { host: 'a' } },
    requestId: 'first',
    timestamp: Date.now(),
  })
  expect(created).toMatchObject({ requestId: 'first', success: true })
  expect(created['job']).toEqual({
    jobId: 'import-1',
    value: { rows: 0 },
    version: 1,
    token: '0',
    name: 'import',
    status: 'running',
    fields: { host: 'a' },
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/u) as string,
    updatedAt: expect.any(String) as string,
    expiresAt: null,
  })
  const change = { op: 'update', jobId: 'import-1', job: { status: 'done' }, ifVersion: 1 }
  expect(await raw.ask(change)).toMatchObject({
    requestId: null,
    job: { value: { rows: 0 }, status: 'done', version: 2 },
  })
  expect(await raw.ask(change)).toMatchObject({
    success: false,
    error: { code: 'TIDEMARK_STATE_CONFLICT', details: { version: 2 } },
  })
  expect(await raw.ask({ op: 'get', jobId: 'import-1', requestId: 7 })).toMatchObject({
    requestId: 7,
    job: { version: 2 },
  })
  expect(await raw.ask({ op: 'get', jobId: 'none' })).toMatchObject({ success: true, job: null })
  await raw.ask({ op: 'put', jobId: 'import-2', job: { status: 'running' }, token: '9' })
  const { jobs, next } = await raw.ask({ op: 'list', filter: { status: 'running' } })
  expect(next).toBeNull()
  expect(jobs).toMatchObject([{ jobId: 'import-2', value: null, token: '9' }])
  const since = { createdFrom: new Date(0).toISOString(), createdBefore: Date.now() + 60_000 }
  expect((await raw.ask({ op: 'list', filter: since }))['jobs']).toHaveLength(2)
  const sync = {
    op: 'sync',
    jobs: [
      { jobId: 'import-1', version: 2 },
      { jobId: 'import-3', value: 3 },
    ],
    write: true,
    remove: true,
  }
  expect((await raw.ask(sync))['report']).toMatchObject({
    missing: ['import-3'],
    extra: ['import-2'],
    written: 1,
    removed: 1,
  })
  expect(await raw.ask({ op: 'delete', jobId: 'import-1' })).toMatchObject({ deleted: true })
  expect(await raw.ask({ op: 'delete', jobId: 'import-1' })).toMatchObject({ deleted: false })
  expect(await raw.ask({ op: 'health' })).toMatchObject({
    health: { ok: true, backend: 'memory' },
  })
})

test.for([
  ['no JSON', '{"op":"get"\n'],
  ['no object', '[1]\n'],
  ['null', 'null\n'],
  ['no operation', '{}\n'],
  ['an unknown operation', '{"op":"drop"}\n'],
  ['one that every object has', '{"op":"toString"}\n'],
  ['a misspelled field', '{"op":"get","jobID":"a"}\n'],
  ['a job that is a list', '{"op":"create","jobId":"a","job":[1]}\n'],
  ['a job with an unknown field', '{"op":"create","jobId":"a","job":{"statsu":"x"}}\n'],
  ['no key', '{"op":"get"}\n'],
  ['a key that is a number', '{"op":"delete","jobId":1}\n'],
  ['a token below zero', '{"op":"create","jobId":"a","token":-1}\n'],
  ['a token that is half a number', '{"op":"create","jobId":"a","token":1.5}\n'],
  ['a version that is a text', '{"op":"update","jobId":"a","ifVersion":"1"}\n'],
  ['a time that is none', '{"op":"list","filter":{"createdFrom":"yesterday"}}\n'],
  ['a page that is none', '{"op":"list","filter":{"after":"?"}}\n'],
  ['jobs that are none', '{"op":"sync","jobs":{"a":1}}\n'],
  [
    'notes on a prototype',
    '{"op":"create","jobId":"a","job":{"value":{},"meta":{"values":{"__proto__.x":["Date"]},"v":1}}}\n',
  ],
  ['half a surrogate pair', '{"op":"create","jobId":"a","job":{"value":"\\ud800"}}\n'],
  ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a])],
  [
    'too much nesting',
    `{"op":"create","jobId":"a","job":{"value":${'['.repeat(200_000)}${']'.repeat(200_000)}}}\n`,
  ],
  ['too long a line', `"${'x'.repeat(1_048_600)}"\n`],
] as const)('after %s the next line is read', async ([, line]) => {
  const raw = await rawClient(await serve())
  raw.send(line, { op: 'health', requestId: 'next' })
  const { success, error } = await raw.next()
  expect([success, error?.code.startsWith('TIDEMARK_')]).toEqual([false, true])
  expect(await raw.next()).toMatchObject({ requestId: 'next', success: true })
})

test('a line may come byte by byte, in the middle of characters', async () => {
  const raw = await rawClient(await serve())
  const line = Buffer.from('{"op":"create","jobId":"ключ","job":{"value":"🌊 naïve"}}\r\n\r\n\n')
  for (const byte of line) {
    raw.send(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(await raw.next()).toMatchObject({ job: { jobId: 'ключ', value: '🌊 naïve' } })
})

test('answers come in the order of the requests, whichever is done first', async () => {
  const { backend, store, letGo } = heldStore((key) => key === 'slow')
  const raw = await rawClient(await serve({ store }))
  raw.send(
    { op: 'put', jobId: 'slow', requestId: 1 },
    { op: 'put', jobId: 'fast', requestId: 2 },
    { op: 'update', jobId: 'slow', job: { value: 2 }, requestId: 3 },
    { op: 'list', requestId: 4 },
    { op: 'delete', jobId: 'fast', requestId: 5 },
    { op: 'get', jobId: 'fast', requestId: 6 },
  )
  await expect.poll(() => backend.read(['fast'])).toMatchObject([{ version: 1 }])
  letGo()
  const answers = []
  for (let count = 0; count < 6; count += 1) answers.push(await raw.next())
  expect(answers.map(({ requestId, success }) => [requestId, success])).toEqual(
    [1, 2, 3, 4, 5, 6].map((id) => [id, true]),
  )
  // What is asked of all sees what came before it, and not what comes after.
  expect(answers[3]?.['jobs']).toHaveLength(2)
  expect(answers[5]?.['job']).toBeNull()
})

test('writes of one key happen in their order, through whichever client', async () => {
  const passed = Promise.withResolvers<void>()
  const { store, reached, letGo } = heldStore((key, body) => {
    if (key === 'b') passed.resolve()
    return body.includes('first')
  })
  const service = await serve({ store })
  const [one, other] = [await rawClient(service), await rawClient(service)]
  one.send({ op: 'put', jobId: 'a', job: { value: 'first' } })
  await reached
  other.send({ op: 'put', jobId: 'a', job: { value: 'second' } })
  // What came after it is written, so it has been looked at.
  other.send({ op: 'put', jobId: 'b', job: { value: 'another key' } })
  await passed.promise
  letGo()
  expect(await other.next()).toMatchObject({ job: { version: 2, value: 'second' } })
})

test('a client that has said everything still gets its answers', async () => {
  const raw = await rawClient(await serve())
  raw.send({ op: 'put', jobId: 'a' }, '{"op":"get","jobId":"a","requestId":"without a newline"}')
  raw.socket.end()
  expect(await raw.next()).toMatchObject({ job: { jobId: 'a' } })
  expect(await raw.next()).toMatchObject({ requestId: 'without a newline' })
  await expect(raw.next()).rejects.toThrow('ended')
})

test('a repeated write with the same id happens once; one without happens twice', async () => {
  const raw = await rawClient(await serve())
  const write = { op: 'put', jobId: 'a', job: { value: 1 }, requestId: 1 }
  await raw.ask({ ...write, writeId: 'w' })
  expect(await raw.ask({ ...write, writeId: 'w' })).toMatchObject({ job: { version: 1 } })
  await raw.ask(write)
  expect(await raw.ask(write)).toMatchObject({ job: { version: 3 } })
})

test('a page that is too large for one answer becomes a smaller one', async () => {
  const raw = await rawClient(await serve({ lineBytes: 1_024 }))
  for (let index = 0; index < 20; index += 1) {
    await raw.ask({ op: 'put', jobId: `job-${index}`, job: { value: 'x'.repeat(800) } })
  }
  const seen: unknown[] = []
  for (let after: unknown; ;) {
    const page = await raw.ask({ op: 'list', filter: after === undefined ? {} : { after } })
    seen.push(...(page['jobs'] as { jobId: unknown }[]).map(({ jobId }) => jobId))
    if (page['next'] === null) break
    after = page['next']
  }
  expect(new Set(seen)).toEqual(new Set(Array.from({ length: 20 }, (_, at) => `job-${at}`)))
  expect(seen).toHaveLength(20)
})

test.for([
  ['12345678901234567890', 'a number that JavaScript rounds'],
  ['-9007199254740993', 'one below'],
  ['1e400', 'one that is larger than any'],
])('%s, %s, is refused wherever it stands, and what is exact is not', async ([number]) => {
  const raw = await rawClient(await serve())
  const refused = { success: false, error: { code: 'TIDEMARK_STATE_REQUEST_INVALID' } }
  for (const job of [
    `{"value":${number}}`,
    `{"value":{"rows":[${number}]}}`,
    `{"fields":{"a":${number}}}`,
  ]) {
    raw.send(`{"op":"put","jobId":"a","job":${job}}\n`)
    expect(await raw.next()).toMatchObject(refused)
  }
  expect(await raw.ask({ op: 'get', jobId: 'a' })).toMatchObject({ job: null })
  const exact =
    '[9007199254740992,100000000000000000000,1e+300,-0.1,0.30000000000000004,9223372036854775808]'
  raw.send(`{"op":"put","jobId":"a","job":{"value":${exact}}}\n`)
  expect(await raw.next()).toMatchObject({
    success: true,
    job: { value: JSON.parse(exact) as unknown },
  })
})
