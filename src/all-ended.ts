/** @file Waiting for several things at once. */

/** What all jobs give, in their order; where one fails, all have ended before that is said. */
export async function allEnded<Value>(jobs: readonly (Value | Promise<Value>)[]): Promise<Value[]> {
  await Promise.allSettled(jobs)
  return Promise.all(jobs)
}
