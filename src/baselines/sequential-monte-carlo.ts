/**
 * @file Sequential Monte Carlo (Del Moral, Doucet and Jasra 2006; for language models Lew et al. 2023, arXiv 2306.03081, and
 * Zhao et al. 2024, arXiv 2404.17546): a population of latents grows token by token, and those that promise little are replaced by
 * copies of those that promise much.
 *
 * What a particle promises is the paper's own estimate of log Z at a prefix (Hu et al. 2024, equation 3),
 *
 *     u(z_1..z_i) = log R(z_1..z_i ⊤)^(1/T) − log q(⊤ | z_1..z_i) − log q(z_1..z_i),
 *
 * the weight that it would have if it ended here. So the twist needs nothing but the rewards at prefixes; u does not change when a
 * particle ends; and for a sampler at the optimum u is the same everywhere and nothing is ever replaced. Where R is zero, or the
 * latent may not end yet, the reward says nothing of what may still come, and a particle counts as an average one.
 *
 * The promise only decides who is copied. What is estimated does not depend on it: a particle that is copied c times in the mean
 * carries the factor 1/c from then on, so that the mean weight Σ (carried · R^(1/T) / q) / N is an unbiased estimate of Z.
 */
import { UserError } from '../errors.ts'
import { logMeanExp, logSumExp } from '../log-space.ts'
import type { Lane } from '../models/lane.ts'
import { isForced, isTerminable } from '../sampling/support.ts'
import { tokenDrawers } from './draw-latents.ts'
import { inferenceMethod, type Query, requirePositive, requireWhole } from './method.ts'
import { type Continuation, type State, withNextTokens } from './next-tokens.ts'
import { logTargets } from './proposals.ts'
import { effectiveSamples, systematicResample } from './resampling.ts'

export type SmcOptions = {
  /** Separate populations that the particles are divided into; several give an honest standard error of log Z. */
  runs: number
  /** A population is resampled when its effective sample size falls below this fraction of it. */
  threshold: number
}

/** @throws UserError where the settings are out of range; when run, where the samples cannot be divided into the runs */
export function sequentialMonteCarlo({ runs = 1, threshold = 0.5 }: Partial<SmcOptions> = {}) {
  requireWhole('the number of runs', runs)
  requirePositive('the threshold', threshold, 1)
  return inferenceMethod('sequential Monte Carlo', (lane, query) => smc(lane, query, { runs, threshold }))
}

type Particle = {
  /** The latent so far, and what may follow it; copies share it. */
  state: State
  /** log q of the latent so far, without ⊤. */
  logQ: number
  /** u at the present prefix or, once it has ended, at its last; −∞ where the reward there is zero. */
  promise: number
  /** What it carries from resampling. */
  logCarried: number
  /** Which of the continuations of the step before it is; copies share it. */
  place: number
  ended: boolean
}

/**
 * N weighted particles.
 * @returns also log Ẑ of each run: e to that power is an unbiased estimate of Z, and the runs are independent
 */
async function smc(lane: Lane, query: Query, { runs, threshold }: SmcOptions) {
  const { sampler, prompt, samples, draws } = query
  const { support } = sampler
  const size = samples / runs
  if (!Number.isInteger(size))
    throw new UserError({
      what: `${samples} particles cannot be divided into ${runs} runs`,
      where: 'baseline',
      fix: 'give a multiple',
    })
  const inRuns = <T>(all: readonly T[]) =>
    Array.from({ length: runs }, (_, run) => all.slice(run * size, (run + 1) * size))

  return withNextTokens(lane, sampler, prompt, async (next) => {
    const start = { state: next.first, logQ: 0, promise: -Infinity, logCarried: 0, place: 0, ended: false }
    let particles = new Array<Particle>(samples).fill(start)
    let states = [next.first]
    let resamplings = 0
    for (let actions = 0; states.length > 0; actions++) {
      if (isTerminable(support, actions)) particles = await withPromises(lane, query, particles)
      if (!isForced(support, actions))
        particles = inRuns(particles).flatMap((run) => {
          const logScores = scoresOf(run)
          if (run.every(({ ended }) => ended) || effectiveSamples(logScores) >= threshold * size) return run
          resamplings++
          return resampled(run, logScores, draws.uniform())
        })

      const drawers = tokenDrawers(states)
      const steps: Continuation[] = []
      particles = particles.map((particle) => {
        if (particle.ended) return particle
        const { token, logQ } = drawers[particle.place](draws.uniform())
        if (token === support.stop) return { ...particle, ended: true } // its u has ⊤ in it already
        const place = steps.push({ parent: particle.place, token }) - 1
        return { ...particle, logQ: particle.logQ + logQ, place }
      })
      states = await next.after(steps)
      particles = particles.map((particle) =>
        particle.ended ? particle : { ...particle, state: states[particle.place] },
      )
    }
    const logWeights = particles.map(({ logCarried, promise }) => logCarried + promise)
    return {
      latents: particles.map(({ state }) => state.latent),
      logWeights,
      logZs: inRuns(logWeights).map(logMeanExp),
      resamplings,
    }
  })
}

/** The particles with u at their present prefix. */
async function withPromises(lane: Lane, query: Query, particles: readonly Particle[]): Promise<Particle[]> {
  const open = particles.filter(({ ended }) => !ended)
  const targets = await logTargets(
    lane,
    query,
    open.map(({ state }) => state.latent),
  )
  const promises = open.map(({ state, logQ }, i) => targets[i] - state.next[query.sampler.support.stop] - logQ)
  let i = 0
  return particles.map((particle) => (particle.ended ? particle : { ...particle, promise: promises[i++] }))
}

/** What particles are copied in proportion to, in logarithms: their weights by promise, finite for all that may still get one. */
function scoresOf(run: readonly Particle[]): number[] {
  const known = run.flatMap(({ promise }) => (promise > -Infinity ? [promise] : []))
  const average = known.length > 0 ? logMeanExp(known) : 0
  return run.map(({ promise, logCarried, ended }) => logCarried + (ended || promise > -Infinity ? promise : average))
}

/** As many particles, drawn in proportion to their scores; each carries what makes up for its chance. */
function resampled(run: readonly Particle[], logScores: readonly number[], uniform: number): Particle[] {
  const logMean = logSumExp(logScores) - Math.log(run.length)
  return systematicResample(logScores, run.length, uniform).map((i) => {
    const logCopies = logScores[i] - logMean // how often it is drawn in the mean
    return { ...run[i], logCarried: run[i].logCarried - logCopies }
  })
}
