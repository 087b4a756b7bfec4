import { isDeepStrictEqual } from 'node:util'
import { answered, type Outcome, type Plan } from './plans.ts'

const failed: Outcome = { error: '*' }

/** What a leaf answers. */
export function valueOf(plan: Plan): unknown {
  return 'value' in plan ? [plan.id, answered[plan.value % answered.length]] : plan.id
}

/** Whether JavaScript, and the promises of jobs, allow a plan to come to this. `'*'`: to any error. */
export function admits(plan: Plan, outcome: Outcome): boolean {
  switch (plan.do) {
    case 'step':
    case 'transaction':
    case 'child':
    case 'sleep':
    case 'event':
    case 'signal':
      return 'ok' in outcome && isDeepStrictEqual(outcome.ok, valueOf(plan))
    case 'throw':
    case 'step that throws':
    case 'child that fails':
    case 'unstorable':
      return 'error' in outcome && ['*', labelOf(plan)].includes(outcome.error)
    default:
      return admitsOfBranches(plan.plans, plan.do, outcome)
  }
}

/** How the error of a leaf is told apart, where it can be. */
export function labelOf({ do: what, id }: Plan): string {
  return what === 'unstorable' ? 'not storable' : `L${id}.`
}

function admitsOfBranches(plans: readonly Plan[], what: string, outcome: Outcome): boolean {
  const [first, ...others] = plans
  if (first === undefined) return false
  switch (what) {
    case 'all':
    case 'map':
      return 'ok' in outcome
        ? each(plans, outcome.ok, (plan, value) => admits(plan, { ok: value }))
        : plans.some((plan) => admits(plan, outcome))
    case 'race':
      return plans.some((plan) => admits(plan, outcome))
    case 'any':
      return 'ok' in outcome
        ? plans.some((plan) => admits(plan, outcome))
        : plans.every((plan) => admits(plan, failed)) && ['*', 'all of any'].includes(outcome.error)
    case 'allSettled':
      return (
        'ok' in outcome &&
        each(plans, outcome.ok, (plan, one) => isOutcome(one) && admits(plan, one))
      )
    case 'sequence':
      if (others.length === 0) return admits(first, outcome)
      return (
        ('error' in outcome && admits(first, outcome)) ||
        (succeeds(first) && admitsOfBranches(others, what, outcome))
      )
    case 'catch':
      return (
        ('ok' in outcome && admits(first, outcome)) ||
        (others.length > 0 &&
          admits(first, failed) &&
          admitsOfBranches(others, 'sequence', outcome))
      )
    case 'finally':
      return (
        ('error' in outcome && admitsOfBranches(others, 'sequence', outcome)) ||
        (admits(first, outcome) && others.every(succeeds))
      )
    default:
      return false
  }
}

function each(
  plans: readonly Plan[],
  values: unknown,
  admitted: (plan: Plan, value: unknown) => boolean,
): boolean {
  if (!Array.isArray(values) || values.length !== plans.length) return false
  return plans.every((plan, index) => admitted(plan, values[index]))
}

function isOutcome(value: unknown): value is Outcome {
  return typeof value === 'object' && value !== null && ('ok' in value || 'error' in value)
}

/** Whether a plan may come to a value. */
function succeeds(plan: Plan): boolean {
  if (!('plans' in plan))
    return !plan.do.includes('throw') && plan.do !== 'child that fails' && plan.do !== 'unstorable'
  const { do: what, plans } = plan
  const [first, ...others] = plans
  if (first === undefined) return false
  if (what === 'allSettled') return true
  if (what === 'race' || what === 'any') return plans.some(succeeds)
  if (what === 'catch') return succeeds(first) || (others.every(succeeds) && admits(first, failed))
  return plans.every(succeeds)
}
