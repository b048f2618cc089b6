/**
 * @file The training loop written out by hand from library parts: one story, one prompt, nothing hidden. No replay buffer, no
 * schedules, no checkpoints; `fineTune` (src/trainers/train.ts) has those.
 *
 * What you should see: the objective falls from over a hundred to about four and the mean log-reward of the samples rises,
 * in less than a minute on two cores; then six middles of the story.
 *
 *     npx tsx examples/the-loop.ts
 */
import { initialAdapter } from '../src/adapters/lora.ts'
import { learnStep } from '../src/gflownet/learn-step.ts'
import { schedule } from '../src/gflownet/schedules.ts'
import { loadLanguageModel } from '../src/models/language-model.ts'
import { seededRandom } from '../src/random.ts'
import { posterior } from '../src/rewards/posterior.ts'
import { sampleLatents } from '../src/sampling/sample.ts'
import { stopToken } from '../src/tokenizer/vocabulary.ts'
import { adamW } from '../src/trainers/optimizer.ts'

const STEPS = 120
const SAMPLES = 48
const beginning = 'Once upon a time, there was a little girl named Lily.'
const ending = ' She was very happy.'

const language = await loadLanguageModel(new URL('../models/stories260K', import.meta.url).pathname)
const { description: model, tokenizer, lanes } = language
const random = seededRandom(1)

// The policy reads the ending, then the beginning, and writes what comes between; the full stop ends it.
const start = tokenizer.encode(beginning, { addSpecialTokens: true })
const prompt = [...tokenizer.encodeContinuation(ending), ...start]
const support = { stop: stopToken(tokenizer, '.'), minTokens: 0, maxTokens: 16 }
const reward = posterior({ beginning: start, ending })

let adapter = initialAdapter({ rank: 16, alpha: 16, targets: model.defaultTargets }, model.linears, random)
const optimizer = adamW({
  learningRate: schedule({ from: 3e-3, to: 3e-4, shape: 'cosine' }, STEPS),
  betas: [0.9, 0.99],
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradientNorm: null,
})
let moments = optimizer.initialState(adapter.weights)

for (let step = 0; step < STEPS; step++) {
  // Half of the latents from the policy itself, half from hotter and cooler copies of it: the objective is off-policy.
  const temperatures = Array.from({ length: SAMPLES }, (_, n) => (n % 2 === 0 ? 1 : 0.7 + (1.1 * n) / SAMPLES))
  const { loss, gradients, meanLogReward } = await lanes.use(async (lane) => {
    const latents = await sampleLatents(
      lane,
      { model, adapter, support },
      { prompt, temperatures, draws: random.at('sample', step) },
    )
    const { logReward } = await reward.score({ lane, model, tokenizer, support, prompt }, latents)
    const result = await learnStep(
      lane,
      { model, adapter, support, objective: { name: 'subtrajectory-balance', lambda: 1 } },
      { prompt, latents, logRewards: logReward, logPartition: 0 },
    )
    return { ...result, meanLogReward: logReward.reduce((sum, row) => sum + row[row.length - 1], 0) / SAMPLES }
  })
  const update = optimizer.update(adapter.weights, gradients, moments)
  adapter = { ...adapter, weights: update.parameters }
  moments = update.state
  if (step === 0 || step % 20 === 19)
    console.log(`step ${step + 1}: objective ${loss.toFixed(2)}, mean log R ${meanLogReward.toFixed(2)}`)
}

const temperatures = new Array<number>(6).fill(1)
const latents = await lanes.use((lane) =>
  sampleLatents(lane, { model, adapter, support }, { prompt, temperatures, draws: random.at('show') }),
)
for (const latent of latents) console.log(`${beginning}${tokenizer.decodeContinuation(latent)}.${ending}`)
await language.dispose()
