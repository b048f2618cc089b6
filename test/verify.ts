/**
 * @file `npm run verify`: every objective, for the tempered and the posterior reward, trained on a problem whose posterior
 * is known exactly. Total variation must fall below 0.02, and a sampler trained on another density must not.
 */
import Table from 'cli-table3'
import { compareExactly, enumerateRewards } from '../src/evaluation/enumerate.ts'
import { objectiveNames } from '../src/gflownet/objectives.ts'
import { loadLanguageModel } from '../src/models/language-model.ts'
import { exactProblem, modelFolder, rewards, temperatures, trainExactly } from './exact-posterior.ts'

const LIMIT = 0.02
const MIN_ENTROPY = 3
const SEED = 1

const model = await loadLanguageModel(modelFolder)
const problem = exactProblem(model)
const table = new Table({
  head: ['reward', 'objective', 'latents', 'entropy', 'TV before', 'TV after', 'KL after', 'seconds', ''],
})
let failures = 0
let trainedOnTempered: number[] = []
for (const [name, reward] of Object.entries(rewards))
  for (const objective of objectiveNames) {
    const started = performance.now()
    const temperature = temperatures[name]
    const { before, after, logQ } = await trainExactly(problem, {
      reward,
      temperature,
      objective,
      steps: 1000,
      samples: 64,
      seed: SEED,
    })
    if (name === 'tempered') trainedOnTempered = logQ
    const passed = after.totalVariation < LIMIT && after.entropy >= MIN_ENTROPY
    if (!passed) failures++
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    const latents = problem.problem.latents.length
    const row = [
      name,
      objective,
      latents,
      ...[after.entropy, before.totalVariation, after.totalVariation, after.klToPosterior].map((x) => x.toFixed(4)),
    ]
    table.push([...row, seconds, passed ? 'ok' : 'FAILED'])
    console.log(row.join('  '), `${seconds} s`, passed ? 'ok' : 'FAILED')
  }

// The sampler that was trained on the tempered density is held against the posterior: that must fail, or the test proves nothing.
const logReward = await enumerateRewards(problem.problem, rewards.posterior)
const wrong = compareExactly(logReward, trainedOnTempered, temperatures.posterior)
const told = wrong.totalVariation > LIMIT
if (!told) failures++
console.log(table.toString())
console.log(
  `The sampler trained on the tempered density, held against the posterior: total variation ${wrong.totalVariation.toFixed(4)}, ${told ? 'told apart' : 'NOT told apart'}`,
)
console.log(
  `Seed ${SEED}, 1000 steps of 64 samples, limit ${LIMIT}: ${failures === 0 ? 'all passed' : `${failures} failed`}`,
)
await model.dispose()
process.exitCode = failures === 0 ? 0 : 1
