import { reporting, type Benchmark } from './benchmark.ts'
import { claims } from './claims.ts'
import { codecs } from './codecs.ts'
import { consoleScreens } from './console.ts'
import { growth } from './growth.ts'
import { jobHistory } from './job-history.ts'
import { jobs } from './jobs.ts'
import { latency } from './latency.ts'
import { listener } from './listener.ts'
import { mirror } from './mirror.ts'
import { peers } from './peers/peers.ts'
import { publish } from './publish.ts'
import { rebuild } from './rebuild.ts'
import { relay } from './relay.ts'
import { replay } from './replay.ts'
import { scale } from './scale/scale.ts'
import { soak } from './soak.ts'
import { tail } from './tail.ts'

/** The benchmarks, in the order in which `all` runs them. */
export const catalog: Readonly<Record<string, Benchmark>> = {
  publish,
  growth,
  tail,
  listener,
  replay,
  rebuild,
  latency,
  jobs: reporting(
    'durable jobs, empty and with one row each, beside graphile-worker and pg-boss',
    5,
    jobs,
    { runs: 3 },
  ),
  claims: reporting(
    'what a claim costs beside jobs that cannot be claimed, and how soon a job starts',
    2,
    claims,
  ),
  'job-history': reporting(
    'what looks for waiting jobs, counts and lists cost beside a history that grows',
    2,
    jobHistory,
  ),
  codecs: reporting(
    'what codecs of stores make of five states of jobs, and what they cost',
    1,
    codecs,
  ),
  mirror: reporting(
    'what a mirror of jobs costs jobs that come at a pace, and how far it is behind them',
    2,
    mirror,
    { runs: 3, seconds: 10 },
  ),
  console: reporting(
    'what the screens of the console take beside very many events and jobs, and what open consoles cost',
    3,
    consoleScreens,
    { seconds: 10 },
  ),
  relay,
  peers,
  scale,
  soak,
}
