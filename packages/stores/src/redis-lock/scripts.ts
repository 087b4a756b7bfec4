// Each script is one step of the server: nothing comes between its look and its write.

/**
 * Takes the lock if nobody has it. KEYS: the lock, its last token. ARGV: its time in milliseconds, how long the last token is
 * remembered. Answers the token, as a text: Lua's numbers become integers of 64 bits only up to 2^53.
 *
 * INVARIANT: a token is greater than every earlier one of the key, also where the last one was forgotten (the server lost its
 * memory, or a replica took over that had not heard of it): it is the server's time in microseconds, or one more than the
 * last where the clock was set back.
 */
export const acquire = `
if redis.call('EXISTS', KEYS[1]) == 1 then return false end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local token = string.format('%.0f', math.max(now, last + 1))
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
redis.call('SET', KEYS[2], token, 'PX', ARGV[2])
return token`

/** Holds the lock for longer, if the token still has it. KEYS: the lock. ARGV: the token, the time in milliseconds. */
export const renew = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`

/** Gives the lock back, if the token still has it. KEYS: the lock. ARGV: the token. */
export const release = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`
