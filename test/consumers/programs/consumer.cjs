const tidemark = require('tidemark')
const { z } = require('zod')
const parts = [require('tidemark/drizzle').fromDrizzle, require('@tidemark/http').createJobApi]

if (parts.includes(undefined)) throw new Error('an export is missing')
void import('./story.mjs').then(({ run }) => run(tidemark, { z }))
