/**
 * @file Recipe 6, constrained text: a sentence that has all the given words and is natural under the model, which no method
 * that computes at inference time learns to write at once. The task is CommonGen's (Lin et al. 2020, arXiv 1911.03705).
 *
 *     npx flowtune train examples/06-commongen.ts
 *
 * What you should see, in about two minutes on two cores: sentences have a third of the words that they must have, where the base model's
 * have one in fourteen, and ten times as many have both. The best sentence that 600 forward tokens find has both words for a third
 * of the held-out pairs if they are drawn from the trained sampler, and for one in forty from the base model.
 *
 * CommonGen itself, whose words come in lists, with a model that knows them; then what else the same compute could buy:
 *
 *     npx flowtune train examples/06-commongen.ts --data train.jsonl.gz --test-data dev.jsonl.gz --model SmolLM2-135M-Instruct.Q4_1.gguf --chat
 *     npx flowtune evaluate runs/06-commongen-1 --baselines importance-resampling sequential-monte-carlo
 */
import { fileURLToPath } from 'node:url'
import { compareBaselines, constrained, type Example, type Task, words } from 'flowtune'

const conceptsOf = ({ concepts }: Example) => concepts.split(/[\s,]+/).filter((word) => word !== '')
const file = (name: string) => fileURLToPath(new URL(`../data/concepts/${name}.jsonl`, import.meta.url))

/** A query may compute as much as some dozens of plain samples take. */
const BUDGET = 600

const recipe: Task = {
  name: 'commongen',
  summary: 'a sentence with all of some words',
  columns: { concepts: 'the words, with commas or spaces between' },
  optionalColumns: { known: 'a sentence that has them, without its "One day,"' },
  defaults: {
    latent: { stop: '.', minTokens: 1, maxTokens: 20, plainSentence: true },
    steps: 250,
    promptsPerStep: 16,
    samplesPerPrompt: 8,
    sources: { replay: 0.5 },
    rewardTemperature: { from: 1.5, to: 1, steps: 80 },
  },
  examples: { data: file('train'), testData: file('held-out') },
  prompt: (example) => ({
    name: conceptsOf(example).join(', '),
    prompt: `${conceptsOf(example).join(', ')}. One day,`,
    reward: constrained({ constraints: [words({ required: conceptsOf(example) })] }),
    ...(example.known && { known: [example.known] }),
  }),
  chat: (example) => ({
    messages: [{ role: 'user', content: `Write a sentence with the words ${conceptsOf(example).join(', ')}.` }],
    reply: 'One day,',
  }),
  evaluate: async (evaluation) => {
    const { evaluations, examples, model } = evaluation
    const compared = await compareBaselines({ ...evaluation, names: ['best-of-n'], perQuery: 1, budgets: [BUDGET] })
    const coverage = (latentsOf: (prompt: number) => readonly { tokens: readonly number[] }[]) => {
      const shares = examples.flatMap((example, i) =>
        latentsOf(i).map(({ tokens }) => {
          const text = model.tokenizer.decodeContinuation(tokens).toLowerCase().split(/\W+/)
          return mean(conceptsOf(example).map((word) => Number(text.includes(word.toLowerCase()))))
        }),
      )
      return { 'all words': mean(shares.map((share) => Number(share === 1))), words: mean(shares) }
    }
    const best = compared.methods.filter(({ method }) => method === 'best-of-n')
    return {
      figures: {
        ...Object.fromEntries(
          ['base', 'tuned'].map((name) => [name, coverage((i) => evaluations[i].samplers[name].samples)]),
        ),
        ...Object.fromEntries(
          best.map(({ sampler, answers }) => [`best of n, ${sampler}`, coverage((i) => answers[i]?.latents ?? [])]),
        ),
      },
      notes: [`best of n: the best by reward of all samples that ${BUDGET} forward tokens allow, rewards included`],
    }
  },
}
export default recipe

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
