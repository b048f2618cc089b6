/** @file GFlowNet fine-tuning (Hu et al. 2024, section 3): sample, reward, replay, learn by the objective. */
import { learnStep } from '../../gflownet/learn-step.ts'
import { readsPrefixes } from '../../gflownet/objectives.ts'
import { draw, emptyBuffer, insert } from '../../gflownet/replay-buffer.ts'
import { temperedLogReward } from '../../gflownet/reward-temperature.ts'
import type { Trajectory } from '../../gflownet/trajectory.ts'
import type { Draws } from '../../random.ts'
import type { Latent } from '../../sampling/latent.ts'
import { sampleWithTool } from '../../sampling/sample.ts'
import { behaviourTemperatures, countSources } from '../behaviour.ts'
import { rewarded } from '../checked-rewards.ts'
import { seedBuffer } from '../known-latents.ts'
import { learnPartition } from '../learned-partition.ts'
import type { Collected, Method, Run } from './method.ts'

type Batch = Collected & { replayed: Trajectory[]; temperature: number }

export const gflownet: Method<Batch> = {
  rounds: () => 1,
  begin: (run) => seedBuffer(emptyBuffer(run.config.replay), run.prompts, run),
  collect: async (lane, run, { adapter, step, buffer }, prompt, place) => {
    const { config, support, random, tool } = run
    const started = performance.now()
    const replayable = buffer.prompts[prompt.name]?.length ?? 0
    const counts = countSources(config.samplesPerPrompt, config.sources, replayable)
    const temperatures = behaviourTemperatures(counts, config.sources.temperatures)
    const sampler = { model: run.model.description, adapter, support, tool }
    const draws = random.at('sample', step, place)
    const drawn = await sampleWithTool(lane, sampler, { prompt: prompt.tokens, temperatures, draws })
    const sampled = performance.now()

    const { objective, prefixFraction } = config
    const isSubset = prefixFraction < 1 && readsPrefixes(objective.name)
    const scored = await rewarded(lane, run, prompt, drawn, {
      onlyWhole: !readsPrefixes(objective.name),
      ...(isSubset && { innerPrefixes: drawPrefixes(drawn, prefixFraction, random.at('prefixes', step, place)) }),
    })
    const fresh = scored.map(
      (latent, n): Trajectory => ({
        ...latent,
        ...(isSubset && { inclusion: prefixFraction }),
        source: temperatures[n] === 1 ? 'policy' : 'tempered',
      }),
    )
    const temperature = run.rewardTemperature(step)
    const replayed = draw(buffer, prompt.name, { count: counts.replay, temperature }, random.at('replay', step, place))
    const seconds = { sample: (sampled - started) / 1000, reward: (performance.now() - sampled) / 1000 }
    return { prompt, fresh, replayed, temperature, seconds }
  },

  learn: (lane, { model, support, config }, { adapter, logPartitions }, { prompt, fresh, replayed, temperature }) => {
    const all = [...fresh, ...replayed]
    return learnStep(
      lane,
      { model: model.description, adapter, support, objective: config.objective },
      {
        prompt: prompt.tokens,
        latents: all.map(({ tokens }) => tokens),
        inserted: all.map(({ inserted = [] }) => inserted),
        logRewards: all.map(({ logReward, untempered }) => temperedLogReward(logReward, temperature, untempered)),
        inclusion: all.map(({ inclusion }) => inclusion),
        logPartition: logPartitions[prompt.name]?.value ?? 0,
      },
    )
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

/** For each latent which of its inner prefixes are asked for their rewards: each with the same probability, on its own. */
const drawPrefixes = (latents: readonly Latent[], fraction: number, draws: Draws): ReadonlySet<number>[] =>
  latents.map(({ tokens }) => {
    const inner = Array.from({ length: Math.max(0, tokens.length - 1) }, (_, i) => i + 1)
    return new Set(inner.filter(() => draws.uniform() < fraction))
  })
