import type { ContextStore } from './context-store.ts'

/** Where the objects of a job are. */
export interface JobPlace {
  /** What all their names begin with. */
  readonly root: string
  /** 1, and one more with each time that the job has begun anew with another input. */
  readonly execution: number
}

/** What the names of all objects of a job begin with. */
export function rootOf({ folders = 'job' }: ContextStore, job: string, name: string): string {
  return folders === 'job' ? `jobs/${job}/` : `jobs/${name}/executions/${job}`
}

/** The job's id; from the second execution on with its number. */
export function executionId(job: string, execution: number): string {
  return execution === 1 ? job : `${job}-${execution}`
}

/** The folder of an execution, with a slash at its end. */
export function folderOf(job: string, { root, execution }: JobPlace): string {
  if (root.endsWith('/')) return `${root}executions/${executionId(job, execution)}/`
  return `${root.slice(0, -job.length)}${executionId(job, execution)}/`
}

/** The name of the definition's object. */
export function definitionAt(root: string): string {
  const [jobs, folder] = root.split('/')
  return `${jobs}/${folder}/definition.json`
}
