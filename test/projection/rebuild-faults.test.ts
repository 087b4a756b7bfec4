import { defineProjection, type App, type EventSequence } from 'tidemark'
import { expect, test } from 'vitest'
import { noted } from '../support/effects.ts'
import { useFreshDatabase } from '../support/fresh-database.ts'
import { appOn } from '../support/test-app.ts'

const database = useFreshDatabase()
const runner = { handleSignals: false, acquireInterval: 50, leaseDuration: 2_000 }

/** What each kind of projection makes of the notes: their order. */
function deploy(version: number, partitions = 1, stumble: (note: string) => void = () => {}) {
  const options = { version, batchSize: 2, retry: { attempts: 3, backoff: () => 10 } }
  const list = defineProjection('list', { ...options, initial: (): string[] => [] }).on(
    noted,
    (notes, { payload: { note } }) => {
      // In place, though reducers should not: what is not written must not be seen again.
      notes.push(note)
      stumble(note)
      return notes
    },
  )
  const byDigit = defineProjection('by_digit', {
    ...options,
    partitions,
    keyed: true,
    initial: (): string[] => [],
  }).on(
    noted,
    (notes, { payload: { note } }) => {
      notes.push(note)
      stumble(note)
      return notes
    },
    { key: ({ payload }) => payload.note.slice(-1) },
  )
  const notes = defineProjection('notes', { ...options, tables: ['notes'] }).on(
    noted,
    async ({ sequence, payload: { note } }, { tx }) => {
      await tx.query('insert into notes values ($1, $2, $3)', [sequence, note, version])
    },
  )
  return { noted, list, byDigit, notes }
}

const names = ['list', 'by_digit', 'notes'] as const
const all = Array.from({ length: 40 }, (_, n) => String(n))

async function makeTable(): Promise<void> {
  await database.query(
    'create table notes (sequence bigint primary key, note text not null, version integer not null)',
  )
}

async function publish(app: App): Promise<EventSequence> {
  const published = await app.publish(all.map((note) => noted({ note })))
  return published.at(-1)?.sequence as EventSequence
}

async function rebuilt(app: App): Promise<void> {
  await expect
    .poll(async () => Promise.all(names.map((name) => app.rebuilds.progress(name))), {
      timeout: 50_000,
      interval: 30,
    })
    .toEqual(names.map(() => undefined))
}

/** All that the three say, in one form. */
async function contents(app: App, { list, byDigit }: ReturnType<typeof deploy>) {
  const { rows } = await database.query<{ note: string; version: number }>(
    'select note, version from notes order by sequence',
  )
  const keys = await app.list(byDigit)
  return {
    list: await app.read(list),
    byDigit: Object.fromEntries(keys.map(({ key, state }) => [key, state])),
    notes: rows.map(({ note }) => note),
    versions: [...new Set(rows.map(({ version }) => version))],
  }
}

function expected(version: number, notes: readonly string[] = all) {
  return {
    list: notes,
    byDigit: Object.fromEntries(
      Array.from({ length: 10 }, (_, digit) => String(digit)).map((digit) => [
        digit,
        notes.filter((note) => note.endsWith(digit)),
      ]),
    ),
    notes,
    versions: [version],
  }
}

test('a reducer that fails behind pages that were not written yet: nothing is folded twice, nothing is lost', async () => {
  await makeTable()
  const failed = new Map<string, number>()
  const stumble = (note: string): void => {
    const times = failed.get(note) ?? 0
    failed.set(note, times + 1)
    // More often than one attempt handles an event: folded, alone, and once again, for both projections.
    if (note === '25' && times < 5) throw new Error('not yet')
  }
  const definitions = deploy(1, 1, stumble)
  await using app = appOn(database, [definitions])
  const last = await publish(app)
  await app.start(runner)
  for (const name of names) await app.waitFor(name, last, { timeout: '30s' })
  expect(failed.get('25')).toBeGreaterThan(5)
  expect(await contents(app, definitions)).toEqual(expected(1))
})

test('a full disk holds the rebuild up and leaves the live generation alone; with room again it goes on', async () => {
  await makeTable()
  await using old = appOn(database, [deploy(1)])
  await old.start(runner)
  const last = await publish(old)
  for (const name of names) await old.waitFor(name, last)
  // In the copies, and in the states of the new generation, there is room for ten notes.
  await database.query(`
    create table room (free boolean);
    insert into room values (false);
    create function full_disk() returns trigger language plpgsql as $$
    begin
      if not (select free from public.room) then
        raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
      end if;
      return new;
    end $$;
    create function full_table() returns trigger language plpgsql as $$
    begin
      if tg_table_schema <> 'public' and new.note::integer > 10 and not (select free from public.room) then
        raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';
      end if;
      return new;
    end $$;
    create trigger full_table before insert on notes for each row execute function full_table();
    create trigger full_states before insert on tidemark.projection_states
      for each row when (new.generation > 1) execute function full_disk();
    create trigger full_cursors before update on tidemark.cursors
      for each row when (new.generation > 1 and new.state is not null) execute function full_disk()`)
  const next = deploy(2)
  await using app = appOn(database, [next])
  await app.start(runner)
  // It is the server's trouble: visible, counted against nobody, and no reason to halt.
  const waiting = async (): Promise<unknown> =>
    (await Promise.all(names.map((name) => app.rebuilds.progress(name)))).map((progress) => [
      progress?.state,
      JSON.stringify(progress?.error).includes('No space left'),
    ])
  const held = names.map(() => ['running', true])
  await expect.poll(waiting, { timeout: 30_000 }).toEqual(held)
  const [more] = await old.publish([noted({ note: '3' })])
  for (const name of names) await old.waitFor(name, more?.sequence as EventSequence)
  expect(await contents(old, deploy(1))).toEqual(expected(1, [...all, '3']))

  await database.query('update room set free = true')
  await rebuilt(app)
  expect(await contents(app, next)).toEqual(expected(2, [...all, '3']))
})

test('two processes rebuild at once, and twice: the same comes of it', async () => {
  await makeTable()
  await using old = appOn(database, [deploy(1)])
  const last = await publish(old)
  const running = await old.start(runner)
  for (const name of names) await old.waitFor(name, last)
  await running.stop()
  const next = deploy(2, 3)
  await using one = appOn(database, [next])
  await using other = appOn(database, [next])
  await Promise.all([one.start(runner), other.start(runner)])
  await rebuilt(one)
  expect(await contents(one, next)).toEqual(expected(2))
  for (const name of names) {
    // Both ask for it: it is one rebuild.
    await Promise.all([one.rebuild({ name }), other.rebuild({ name })])
  }
  await rebuilt(other)
  expect(await contents(other, next)).toEqual(expected(2))
})
