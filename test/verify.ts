/**
 * @file `npm run verify`: every objective, for the tempered and the posterior reward, and every other reward with one
 * objective, trained on a problem whose posterior is known exactly. Total variation must fall below 0.02, and a sampler trained on another density must not.
 * Then expectation-maximisation on a problem whose best marginal likelihood is known: it must never fall, and end within 0.05 nats.
 * Trainings share the lanes of one model and run side by side. Then random numbers, by GFlowNet and PPO. `--seed N` (default 1); further ones, `--seed 1
 * --seed 2`, repeat the trainings of all objectives, and the table tells means and standard deviations over them.
 */
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { normaliseLog } from '../src/evaluation/divergence.ts'
import { compareExactly, compareShapes, enumerateRewards } from '../src/evaluation/enumerate.ts'
import { spreadText } from '../src/evaluation/pictures/spread.ts'
import { type ObjectiveName, objectiveNames } from '../src/gflownet/objectives.ts'
import { loadLanguageModel } from '../src/models/language-model.ts'
import { exactProblem, modelFolder, otherRewards, rewards, TEMPERATURE, trainExactly } from './exact-posterior.ts'
import { evidenceByRound, latentVariableProblem, OPTIMUM } from './latent-variable-problem.ts'
import { verifyRandomNumbers } from './random-numbers.ts'

const LIMIT = 0.02
const EVIDENCE_LIMIT = 0.05 // nats
const FALL_LIMIT = 0.005 // nats from one round to the next: samples are finite
const MIN_ENTROPY = 3 // nats; a peaked target would prove little
const STEPS = 1000
const SAMPLES = 64
const { values } = parseArgs({ options: { seed: { type: 'string', multiple: true, default: ['1'] } } })
const seeds = values.seed.map(Number)
const [seed] = seeds

const model = await loadLanguageModel(modelFolder)
const exact = exactProblem(model)
const started = performance.now()
const ofObjectives = Object.entries(rewards).flatMap(([name, reward]) =>
  objectiveNames.map((objective) => ({ name, reward, objective })),
)
const ofRewards = Object.entries(otherRewards).map(([name, reward]) => ({
  ...{ name, reward },
  objective: 'subtrajectory-balance' as ObjectiveName,
}))
const trained = await Promise.all(
  [...ofObjectives, ...ofRewards].map(async (what) => {
    const all = ofRewards.includes(what) ? [seed] : seeds
    const results = await Promise.all(all.map((seed) => train(what, seed)))
    return { ...what, results, passed: results.every(({ passed }) => passed) }
  }),
)

async function train({ name, reward, objective }: (typeof ofObjectives)[number], seed: number) {
  const setting = { reward, temperature: TEMPERATURE, objective, steps: STEPS, samples: SAMPLES, seed }
  const result = await trainExactly(exact, setting)
  const { totalVariation, entropy } = result.after
  console.error(`${name}, ${objective}, seed ${seed}: total variation ${totalVariation.toFixed(4)}`)
  const posterior = normaliseLog(await enumerateRewards(exact.problem, reward, TEMPERATURE))
  const shapes = compareShapes(exact.problem.latents, { posterior, sampler: result.logQ })
  return { ...result, shapes, passed: totalVariation < LIMIT && entropy >= MIN_ENTROPY }
}

const table = new Table({
  head: [
    ...['reward', 'objective', 'entropy, nats', 'TV before', 'TV after', 'KL after, nats'],
    ...['length bias, tokens', 'first-token entropy gap, nats', ''],
  ],
  style: { head: [], border: [] },
})
for (const { name, objective, results, passed } of trained) {
  const [{ before, after }] = results
  const overSeeds = (of: (result: (typeof results)[number]) => number) => spreadText(results.map(of), 4)
  table.push([
    ...[name, objective, after.entropy.toFixed(4), before.totalVariation.toFixed(4)],
    overSeeds(({ after }) => after.totalVariation),
    overSeeds(({ after }) => after.klToPosterior),
    overSeeds(({ shapes }) => shapes.lengthBias),
    overSeeds(({ shapes }) => shapes.firstTokenEntropyGap),
    passed ? 'ok' : 'FAILED',
  ])
}
console.log(table.toString())

// The samplers of the tempered density are held against the posterior: that must fail, or the test proves nothing.
const posterior = await enumerateRewards(exact.problem, rewards.posterior, TEMPERATURE)
const wrong = trained
  .filter(({ name }) => name === 'tempered')
  .flatMap(({ results }) => results.map(({ logQ }) => compareExactly(posterior, logQ).totalVariation))
const told = Math.min(...wrong) > LIMIT
console.log(
  `Samplers trained on the tempered density, held against the posterior: total variation ${Math.min(...wrong).toFixed(4)} or more, ${told ? 'told apart' : 'NOT told apart'}`,
)
console.log(
  `${exact.problem.latents.length} latents, seed ${seeds.join(', ')}, ${STEPS} steps of ${SAMPLES} samples, limit ${LIMIT}`,
)
const [rounds, steps, further] = [8, 40, 20]
const alternating = latentVariableProblem(model, {
  steps,
  seed,
  em: { rounds, steps: further, learningRate: { from: 2e-3, to: 2e-4, shape: 'cosine' } },
  optimizer: { learningRate: { from: 2e-3, to: 2e-4, shape: 'cosine' } },
  checkpoints: { every: steps + further },
})
const { evidence, gap } = await evidenceByRound(alternating)
const rises = evidence.slice(1).every((value, i) => value > evidence[i] - FALL_LIMIT)
const isBest = Math.abs(evidence[rounds] - OPTIMUM) < EVIDENCE_LIMIT && evidence[0] < OPTIMUM - 1
console.log(
  `Expectation-maximisation, mean log p(Y | X) before and after each of ${rounds} rounds, nats: ${evidence.map((value) => value.toFixed(3)).join(', ')}; at best ${OPTIMUM.toFixed(3)}: ${rises && isBest ? 'ok' : 'FAILED'} (KL of the policy to the last posterior ${gap.toFixed(4)})`,
)
const numbersPassed = await verifyRandomNumbers(model, seed)
const passed = told && rises && isBest && numbersPassed && trained.every((result) => result.passed)
console.log(`${passed ? 'all passed' : 'FAILED'} (${((performance.now() - started) / 60_000).toFixed(1)} minutes)`)
await model.dispose()
process.exitCode = passed ? 0 : 1
