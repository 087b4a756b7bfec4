import { createHash } from 'node:crypto'
import { send, type RedisClient } from './client.ts'

/** A script with the digest that the server keeps it under. */
export interface Script {
  readonly text: string
  readonly digest: string
}

function script(text: string): Script {
  return { text, digest: createHash('sha1').update(text).digest('hex') }
}

/** Runs a script; sends its text only when the server does not have it. */
export async function runScript(
  client: RedisClient,
  { text, digest }: Script,
  keys: readonly string[],
  args: readonly string[],
): Promise<unknown> {
  const rest = [String(keys.length), ...keys, ...args]
  try {
    return await send(client, 'EVALSHA', digest, ...rest)
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
    return send(client, 'EVAL', text, ...rest)
  }
}

// Times are milliseconds of the server's clock. Tokens are compared as texts: a number of Lua has 53 bits.
const common = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local fields = { 'version', 'token', 'writeId', 'createdAt', 'updatedAt', 'expiresAt', 'name', 'status', 'fields', 'body' }
local function kept(at)
  local values = redis.call('HMGET', at, unpack(fields))
  if not values[1] then return nil, values end
  local state = {}
  for i, field in ipairs(fields) do state[field] = values[i] or nil end
  state.live = state.body ~= nil and (state.expiresAt == nil or tonumber(state.expiresAt) > now)
  return state, values
end
`

// INVARIANT: whatever begins the name of a key comes with KEYS, for a client that puts a prefix of its own before those.

/**
 * Judges a write and makes it, in the order of `StateBackend`. Answers what became of it, whether the state is live, and
 * what is kept.
 *
 * KEYS: the state, the index of all by creation, the index of those that end by when they do, the beginning of keys of the
 * indexes by status.
 * ARGV: key, op, id, token, expected version ('': any), how long to
 * remember, channel; then body, name, status, fields, ttl: '' not given, '-' null, '=' and the value.
 */
export const writeScript: Script = script(`${common}
local byStatus = KEYS[4]
local key, op, id, token, expected, remember, channel =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
local function below(a, b) -- of decimal numbers without leading zeros
  if #a ~= #b then return #a < #b end
  for i = 1, #a do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return false
end
local current, values = kept(KEYS[1])
local live = current ~= nil and current.live
local function answer(outcome, isLive, list) return { outcome, isLive and 1 or 0, list } end
if current and current.writeId == id then return answer('written', live, values) end
if current and below(token, current.token) then return answer('fenced', live, values) end
if live and op == 'create' then return answer('exists', live, values) end
if not live and (op == 'update' or op == 'delete') then return answer('missing', false, values) end
local version = current and current.version or '0'
if expected ~= '' and expected ~= version then
  return answer(current and 'conflict' or 'missing', live, values)
end

local before = op == 'update' and current or {}
local function given(arg, stays)
  if arg == '' then return stays end
  if arg == '-' then return nil end
  return string.sub(arg, 2)
end
local updatedAt = current and math.max(now, tonumber(current.updatedAt)) or now
local next = {
  version = whole(tonumber(version) + 1), token = token, writeId = id, updatedAt = whole(updatedAt),
  createdAt = live and current.createdAt or whole(updatedAt),
}
if op == 'delete' then
  next.fields = '{}'
  next.expiresAt = whole(now)
else
  next.body = given(ARGV[8], before.body)
  next.name = given(ARGV[9], before.name)
  next.status = given(ARGV[10], before.status)
  next.fields = given(ARGV[11], before.fields) or '{}'
  if ARGV[12] == '' then next.expiresAt = before.expiresAt
  elseif ARGV[12] ~= '-' then next.expiresAt = whole(now + tonumber(string.sub(ARGV[12], 2))) end
end

local list, pairs, absent = {}, {}, {}
for i, field in ipairs(fields) do
  list[i] = next[field] or false
  if next[field] then
    pairs[#pairs + 1] = field
    pairs[#pairs + 1] = next[field]
  else
    absent[#absent + 1] = field
  end
end
-- The first command that changes anything is the one that a server without memory refuses: after another one it takes
-- all, whatever its limit. An end makes room, and is taken.
if op == 'delete' then redis.call('DEL', KEYS[1]) end
redis.call('HSET', KEYS[1], unpack(pairs))
if #absent > 0 then redis.call('HDEL', KEYS[1], unpack(absent)) end
redis.call('PERSIST', KEYS[1])
if current and current.status and current.status ~= next.status then
  redis.call('ZREM', byStatus .. current.status, key)
end
if next.expiresAt then redis.call('PEXPIREAT', KEYS[1], whole(tonumber(next.expiresAt) + remember)) end
if next.body then
  redis.call('ZADD', KEYS[2], next.createdAt, key)
  if next.status then redis.call('ZADD', byStatus .. next.status, next.createdAt, key) end
  if next.expiresAt then redis.call('ZADD', KEYS[3], next.expiresAt, key) else redis.call('ZREM', KEYS[3], key) end
else
  redis.call('ZREM', KEYS[2], key)
  redis.call('ZREM', KEYS[3], key)
end
redis.call('PUBLISH', channel, (next.body and 'written ' or 'deleted ') .. next.version .. ' ' .. key)
return answer('written', next.body ~= nil, list)
`)

/** What is kept under each key, with whether it is live. KEYS: the states. */
export const readScript: Script = script(`${common}
local found = {}
for i, at in ipairs(KEYS) do
  local state, values = kept(at)
  found[i] = state and { state.live and 1 or 0, values } or false
end
return found
`)

/**
 * Live states of an index, those created last first. What the index has and is not there any more is taken out of it;
 * so is what is there anew, with another time or status, after the server had removed it by itself.
 *
 * KEYS: the index, the beginning of keys of states. ARGV: how many, the latest and the earliest time ('' for none), and
 * the key before which to begin, of states of the latest time ('' for none), and the status of the index ('' for all).
 */
export const listScript: Script = script(`${common}
local prefix, limit, latest, earliest, after, status = KEYS[2], tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local function less(a, b) -- by bytes, as the index is ordered
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end
local found, gone, offset = {}, {}, 0
while #found < limit do
  local members = redis.call('ZREVRANGEBYSCORE', KEYS[1], latest == '' and '+inf' or latest,
    earliest == '' and '-inf' or earliest, 'WITHSCORES', 'LIMIT', offset, limit)
  if #members == 0 then break end
  offset = offset + limit
  for i = 1, #members, 2 do
    local key, score = members[i], members[i + 1]
    if after == '' or tonumber(score) < tonumber(latest) or less(key, after) then
      local state, values = kept(prefix .. key)
      local there = state and state.live and tonumber(state.createdAt) == tonumber(score)
      if not there or (status ~= '' and state.status ~= status) then gone[#gone + 1] = key
      elseif #found < limit then found[#found + 1] = { key, values } end
    end
  end
end
-- A replica refuses it, and lists all the same.
for _, key in ipairs(gone) do redis.pcall('ZREM', KEYS[1], key) end
return found
`)

/**
 * Takes up to 1,000 states that have ended out of the indexes; the server removes them by itself.
 *
 * KEYS: the index of those that end, the index of all, the beginnings of keys of states and of indexes by status.
 */
export const sweepScript: Script = script(`${common}
local ended = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, 1000)
for _, key in ipairs(ended) do
  local state = kept(KEYS[3] .. key)
  redis.call('ZREM', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
  if state and state.status then redis.call('ZREM', KEYS[4] .. state.status, key) end
end
return #ended
`)
