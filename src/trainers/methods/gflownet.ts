/** @file GFlowNet fine-tuning (Hu et al. 2024, section 3): sample, reward, replay, learn by the objective. */
import type { LoraAdapter } from '../../adapters/lora.ts'
import { type LearnBatch, type Learner, learnStep, openLearnStep } from '../../gflownet/learn-step.ts'
import { readsPrefixes } from '../../gflownet/objectives.ts'
import { draw, emptyBuffer, insert } from '../../gflownet/replay-buffer.ts'
import { temperedLogReward } from '../../gflownet/reward-temperature.ts'
import { schedule } from '../../gflownet/schedules.ts'
import type { Draws } from '../../random.ts'
import type { Latent } from '../../sampling/latent.ts'
import { behaviourTemperatures, countSources } from '../behaviour.ts'
import { seedBuffer } from '../known-latents.ts'
import { learnPartition } from '../learned-partition.ts'
import { tapeOf } from '../taped.ts'
import { drawRewarded } from './draw-rewarded.ts'
import { type Method, modelFor, type Run } from './method.ts'

export const gflownet: Method = {
  rounds: ({ updatesPerStep }) => updatesPerStep,
  offPolicy: true,
  begin: (run) => seedBuffer(emptyBuffer(run.config.replay), run.prompts, run),

  openTape: tapeOf,

  collect: async (lane, run, state, prompt, place, tape) => {
    const { config, random } = run
    const { sources } = config
    const { step, buffer } = state
    const tempered = schedule(sources.tempered, config.steps)(step)
    const replayable = buffer.prompts[prompt.name]?.length ?? 0
    const counts = countSources(config.samplesPerPrompt, { ...sources, tempered }, replayable)
    const temperatures = behaviourTemperatures(counts, sources.temperatures)
    const { objective, prefixFraction } = config
    const isSubset = prefixFraction < 1 && readsPrefixes(objective.name)
    const asked = (latents: readonly Latent[]) => ({
      onlyWhole: !readsPrefixes(objective.name),
      ...(isSubset && { innerPrefixes: drawPrefixes(latents, prefixFraction, random.at('prefixes', step, place)) }),
    })
    const { fresh, seconds } = await drawRewarded(lane, run, state, prompt, { place, temperatures, asked, tape })
    const counted = isSubset ? fresh.map((trajectory) => ({ ...trajectory, inclusion: prefixFraction })) : fresh
    const temperature = run.rewardTemperature(step)
    const replayed = Array.from({ length: config.updatesPerStep }, (_, update) =>
      draw(buffer, prompt.name, { count: counts.replay, temperature }, random.at('replay', step, place, update)),
    )
    return { prompt, fresh: counted, seconds, replayed }
  },

  openLearning: (lane, run, { adapter }) => openLearnStep(lane, learner(run, adapter)),

  learn: (lane, run, { step, adapter, logPartitions }, { prompt, fresh, replayed }, update, tape) => {
    const all = [...fresh, ...(replayed?.[update] ?? [])]
    const temperature = run.rewardTemperature(step)
    const batch: LearnBatch = {
      prompt: prompt.tokens,
      latents: all.map(({ tokens }) => tokens),
      inserted: all.map(({ inserted = [] }) => inserted),
      logRewards: all.map(({ logReward, untempered }) => temperedLogReward(logReward, temperature, untempered)),
      inclusion: all.map(({ inclusion }) => inclusion),
      logPartition: logPartitions[prompt.name]?.value ?? 0,
    }
    return learnStep(lane, learner(run, adapter), batch, tape)
  },

  remember: ({ config }: Run, state, results) => {
    const logPartitions = { ...state.logPartitions }
    for (const { batch, learned } of results)
      if (learned.logPartitionGradient !== undefined)
        logPartitions[batch.prompt.name] = learnPartition(
          logPartitions[batch.prompt.name],
          learned.logPartitionGradient,
          config.optimizer.logPartitionRate,
        )
    const buffer = results.reduce((buffer, { batch }) => insert(buffer, batch.prompt.name, batch.fresh), state.buffer)
    return { buffer, logPartitions }
  },
}

const learner = (run: Run, adapter: LoraAdapter): Learner => ({
  model: modelFor('learning', run),
  adapter,
  support: run.support,
  objective: run.config.objective,
})

/** For each latent which of its inner prefixes are asked for their rewards: each with the same probability, on its own. */
const drawPrefixes = (latents: readonly Latent[], fraction: number, draws: Draws): ReadonlySet<number>[] =>
  latents.map(({ tokens }) => {
    const inner = Array.from({ length: Math.max(0, tokens.length - 1) }, (_, i) => i + 1)
    return new Set(inner.filter(() => draws.uniform() < fraction))
  })
