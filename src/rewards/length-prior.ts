/** @file The constraint of a prior over the number of tokens. */
import { UserError } from '../errors.ts'
import { statesOf } from '../sampling/latent.ts'
import { defineReward, type Reward, sumParts } from './reward.ts'

/** log-probabilities of lengths 0, 1, 2, … with that of all longer ones; or a Poisson distribution with a mean. */
export type LengthPriorOptions = { logProbabilities: readonly number[]; otherwise: number } | { mean: number }

/** c(Z) = prior(n) for a latent of n tokens that the policy chose, without ⊤. Part: `length`. */
export function lengthPrior(options: LengthPriorOptions): Reward {
  const logPrior = 'mean' in options ? poisson(options.mean) : tabled(options)
  return defineReward('length prior', async (context, latents) => {
    const length = latents.map((latent, n) => {
      const row = new Array<number>(latent.length + 1).fill(0)
      for (const [actions, prefix] of statesOf(latent.length, context.inserted?.[n]).entries())
        row[prefix] = logPrior(actions)
      return row
    })
    return sumParts(context, latents, { length })
  })
}

function poisson(mean: number): (length: number) => number {
  if (!(mean > 0 && Number.isFinite(mean))) throw refuse(`mean ${mean}`, 'give a finite number above 0')
  return (length) => {
    let logFactorial = 0
    for (let i = 2; i <= length; i++) logFactorial += Math.log(i)
    return length * Math.log(mean) - mean - logFactorial
  }
}

function tabled({ logProbabilities, otherwise }: { logProbabilities: readonly number[]; otherwise: number }) {
  const bad = [...logProbabilities, otherwise].find((value) => !Number.isFinite(value))
  if (bad !== undefined)
    throw refuse(`a log-probability of ${bad}`, 'give finite numbers: for no length -Infinity, but perhaps -50')
  return (length: number) => logProbabilities[length] ?? otherwise
}

const refuse = (what: string, fix: string) => new UserError({ what, where: 'reward "length prior"', fix })
