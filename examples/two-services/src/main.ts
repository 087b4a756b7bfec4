import { playStory } from './story.ts'

const transfers = Number(process.argv[2] ?? 20_000)
if (!Number.isSafeInteger(transfers) || transfers < 100) {
  console.error(
    'usage: npm start --workspace @tidemark-examples/two-services [-- <transfers, at least 100>]',
  )
  process.exit(2)
}

const { killed, checks } = await playStory({
  transfers,
  kills: 5,
  say: (what) => console.log(`  · ${what}`),
})
console.log(
  `\nKilled: ${Object.entries(killed)
    .map(([what, times]) => `${what} ${times} times`)
    .join(', ')}`,
)
console.log('\nThe books of both services')
for (const { what, expected, actual } of checks) {
  const difference = actual === expected ? '' : `, but it must be ${expected}`
  console.log(`  ${actual === expected ? '✓' : '✗'} ${what}: ${actual}${difference}`)
}
const balanced = checks.every(({ expected, actual }) => expected === actual)
console.log(balanced ? '\n✓ Every transfer was booked once.' : '\n✗ The books differ.')
if (!balanced) process.exitCode = 1
