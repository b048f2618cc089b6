/**
 * @file A reward of your own, as one function: the next sentence of a story must have certain words, and be natural under the
 * model besides. The sampler learns to write such sentences at once; the base model hardly ever writes one.
 *
 *     npx flowtune train examples/own-reward.ts
 *
 * What you should see, after about two minutes on two cores: on prompts that were held out, the mean log R rises from −41 to
 * about −22 nats and KL(q ‖ posterior) falls from 10 to about 3; most sentences of the sampler now have a dog, and many a park.
 *
 * `npx flowtune train examples/own-reward.ts --data prompts.txt` takes other prompts, one a line. Instead of a function, a file may
 * export a whole task with columns of its own: see src/tasks/infilling.ts.
 */
import type { RewardFunction } from '../src/index.ts' // in a project of your own: from 'flowtune'

const WORDS = ['dog', 'park']

/** Nats that a missing word costs: sentences without it become e^8 times as rare. */
const COST = 8

const reward: RewardFunction = (text, { logLikelihood }) =>
  logLikelihood - COST * WORDS.filter((word) => !text.includes(word)).length
export default reward

const names = ['Lily', 'Tom', 'Ben', 'Mia', 'Anna', 'Tim', 'Sue', 'Max']
export const prompts = names.flatMap((name) => [
  `Once upon a time, there was a little child named ${name}.`,
  `One day, ${name} and Mom went outside to play.`,
])

export const training = {
  steps: 150,
  latent: { stop: '.', minTokens: 1, maxTokens: 24, plainSentence: true },
  rewardTemperature: { from: 3, to: 1, steps: 75 },
}
