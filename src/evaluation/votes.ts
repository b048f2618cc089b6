/** @file What most of the samples say. */

/** Values and how often each occurs, the most frequent first; of equals the one that came first. */
export function mostFrequent<Value>(
  values: readonly Value[],
  limit = Number.POSITIVE_INFINITY,
): { value: Value; count: number }[] {
  const counts = new Map<Value, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return [...counts]
    .map(([value, count]) => ({ value, count }))
    .sort((a, b) => b.count - a.count) // a stable sort: equals stay in the order of their first occurrence
    .slice(0, limit)
}

/** The answer that most samples give, and the fraction of them that give it. @throws Error where there is none */
export function vote<Answer>(answers: readonly Answer[]): { answer: Answer; share: number } {
  const [first] = mostFrequent(answers, 1)
  if (!first) throw new Error('nobody votes')
  return { answer: first.value, share: first.count / answers.length }
}

/**
 * The fraction of questions whose winning answer is right, where each sampled latent of a question gave one.
 * @param answers     [questions][samples]
 * @param references  [questions]
 */
export function votingAccuracy<Answer>(answers: readonly (readonly Answer[])[], references: readonly Answer[]): number {
  if (answers.length !== references.length)
    throw new Error(`answers to ${answers.length} questions, but ${references.length} references`)
  return answers.filter((given, i) => vote(given).answer === references[i]).length / references.length
}
