/**
 * @file Our own contestant: takes the step that is in a folder, with the library's parts, whenever a line on standard input says so.
 * The protocol is that of peer.py. With `int8` after the folder, sampling, scoring and learning multiply by int8 copies.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { LoraAdapter } from '../../src/adapters/lora.ts'
import { readPeftFolder } from '../../src/adapters/peft.ts'
import { learnStep } from '../../src/gflownet/learn-step.ts'
import { temperedRewards } from '../../src/gflownet/reward-temperature.ts'
import { type Lane, wrapRuns } from '../../src/models/lane.ts'
import { describeModel, loadWeights } from '../../src/models/language-model.ts'
import { openTape } from '../../src/models/tape.ts'
import { seededRandom } from '../../src/random.ts'
import { fewShotPosterior } from '../../src/rewards/few-shot.ts'
import { labelPosterior } from '../../src/rewards/label-posterior.ts'
import { posterior } from '../../src/rewards/posterior.ts'
import type { Reward } from '../../src/rewards/reward.ts'
import { tempered } from '../../src/rewards/tempered.ts'
import { int64 } from '../../src/runtime/host-tensor.ts'
import { grantedCores } from '../../src/runtime/threads.ts'
import { sampleWithTool } from '../../src/sampling/sample.ts'
import type { BoundTool } from '../../src/sampling/tools.ts'
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import { type AdamWState, adamW } from '../../src/trainers/optimizer.ts'
import { countingLane } from '../matrix-work.ts'
import type { Ready, Taken } from './contestant.ts'
import { insertedOf, type Step } from './workloads.ts'

const answer = (value: Ready | Taken) => process.stdout.write(`${JSON.stringify(value)}\n`)

// Rewards that take texts are given the numbers of their tokens.
const spell = (tokens: readonly number[]) => tokens.join(' ')
const read = (text: string) => text.split(' ').map(Number)
const tokenizer = { encode: read, encodeContinuation: read } as Partial<Tokenizer> as Tokenizer

const [folder, products] = process.argv.slice(2)
const int8 = products === 'int8'
const path = join(folder, 'model')
const { description, lanes } = await loadWeights(path, describeModel(path), { threads: grantedCores() })
const model = { ...description, int8 }
const start = readPeftFolder(join(folder, 'adapter'))
answer({ ready: true })

// Allocated once, as in training; every step begins with the first adapter again.
const weights = Object.fromEntries(
  Object.entries(start.weights).map(([name, tensor]) => [name, { ...tensor, data: tensor.data.slice() }]),
)
let moments: AdamWState | undefined
let runs = 0
for await (const _ of createInterface({ input: process.stdin })) {
  // The first run opens the sessions; its matrix work is counted, and its time does not count.
  const counter = { operations: 0 }
  const taken = await lanes.use((lane) => take(runs === 0 ? countingLane(lane, counter) : lane, runs))
  answer(runs === 0 ? { ...taken, operations: counter.operations } : taken)
  runs++
}
await lanes.dispose()

/** One step from the first adapter on; only sampling, rewards and learning are timed. */
async function take(lane: Lane, run: number): Promise<Taken> {
  const step: Step = JSON.parse(readFileSync(join(folder, 'step.json'), 'utf8'))
  const { prompt, latents, states } = step
  const support = { stop: step.stop, minTokens: 0, maxTokens: states[0].length - 1 }
  const inserted = step.tool.after.length > 0 ? insertedOf(step) : undefined
  const reward = rewardOf(step)
  const optimizer = adamW({
    ...step.optimizer,
    learningRate: () => step.optimizer.learningRate,
    maxGradientNorm: null,
  })
  moments ??= optimizer.initialState(start.weights)
  const adapter = fromTheStart(moments)

  const times = [performance.now()]
  const sampler = { model, adapter, support: { ...support, minTokens: support.maxTokens }, tool: toolOf(step), int8 }
  const draws = seededRandom(run).at('race')
  const room = { prompt: prompt.length, tokens: latents.flat().length, withOthers: false }
  const tape = await openTape(lane, { model, adapter }, room)
  const given = givenLatents(lane, step)
  await sampleWithTool(given, sampler, { prompt, temperatures: latents.map(() => 1), draws, tape })
  times.push(performance.now())
  const scored = await reward.score({ lane, model, tokenizer, support, prompt, inserted }, latents)
  times.push(performance.now())
  const { loss, gradients } = await learnStep(
    lane,
    { model, adapter, support, objective: { name: 'subtrajectory-balance', lambda: 1 } },
    { prompt, latents, inserted, logRewards: temperedRewards(scored, step.temperature), logPartition: 0 },
    tape,
  )
  const { gradientNorm } = optimizer.update(adapter.weights, gradients, moments)
  times.push(performance.now())

  const [sample, rewardSeconds, learn] = times.slice(1).map((time, i) => (time - times[i]) / 1000)
  return {
    seconds: { sample, reward: rewardSeconds, learn },
    peakBytes: process.resourceUsage().maxRSS * 1024,
    loss,
    gradientNorm,
    logRewards: scored.logReward.map((row, n) => states[n].map((prefix) => row[prefix])),
  }
}

/** The first adapter again, and moments of zero, in the arrays that there are. */
function fromTheStart({ first, second }: AdamWState): LoraAdapter {
  for (const [name, { data }] of Object.entries(start.weights))
    (weights[name].data as Float32Array).set(data as Float32Array)
  for (const { data } of [first, second].flatMap((tensors) => Object.values(tensors))) (data as Float32Array).fill(0)
  return { ...start, weights }
}

function rewardOf({ endings, label, demonstrations }: Step): Reward {
  if (endings.length === 0) return tempered()
  const reading = { stopInText: false }
  if (label !== null) {
    const texts = Object.fromEntries(endings.map((ending, i) => [`label ${i}`, spell(ending)]))
    return labelPosterior({ endings: texts, label: `label ${label}`, normalised: true, ...reading })
  }
  const [ending] = endings
  if (demonstrations.length === 0) return posterior({ ending, ...reading })
  return fewShotPosterior({ demonstrations: [spell(demonstrations)], separator: '', ending, ...reading })
}

/** Answers the latents that the step says, each after so many actions. */
function toolOf({ latents, tool: { after, tokens } }: Step): BoundTool | undefined {
  if (after.length === 0) return undefined
  const asking = new Set(after.map((actions, n) => spell(latents[n].slice(0, actions))))
  return async (latent) => (asking.has(spell(latent)) ? tokens : [])
}

/** A lane where tokens are drawn, and the given latents' stand in the place of what was drawn. */
function givenLatents(lane: Lane, { latents, states }: Step): Lane {
  let actions = 0
  return wrapRuns(lane, (run) => async (...asked) => {
    const { outputs, kept } = await run(...asked)
    const { drawn } = outputs
    if (!drawn) return { outputs, kept }
    const tokens = latents.map((latent, n) => latent[states[n][actions]])
    actions++
    return { outputs: { ...outputs, drawn: int64(drawn.shape, tokens) }, kept }
  })
}
