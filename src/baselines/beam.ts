/**
 * @file Beam search for latents of high likelihood, in groups that may be told to differ. Length is not rewarded: a score is
 * the plain log-likelihood (a "length penalty" of zero). With one group it is ordinary beam search; diverse-beam.ts has more.
 */
import type { Lane } from '../models/lane.ts'
import type { Sampler } from '../sampling/sample.ts'
import { inferenceMethod, requireWhole } from './method.ts'
import { type LogProbabilities, withNextTokens } from './next-tokens.ts'

/**
 * Ordinary beam search; gives the best latent that it finds, however many are wanted (Hu et al. 2024, section 4.1, with N and
 * with 5 N beams).
 * @param beamsPerSample beams for each latent that is wanted
 * @throws UserError where that is no whole number of at least 1
 */
export function beam(beamsPerSample = 1) {
  requireWhole('the number of beams per sample', beamsPerSample)
  return inferenceMethod(`beam, ${beamsPerSample} per sample`, async (lane, query) => {
    const [[best]] = await searchBeams(lane, query, { groups: 1, beams: beamsPerSample * query.samples, penalty: 0 })
    return { latents: [best.tokens], logQ: [best.logQ] }
  })
}

/** A sequence, its log q (with ⊤ once it has ended), and what it is ranked by: log q less all penalties. */
export type Hypothesis = { tokens: number[]; logQ: number; score: number }
type Group = { open: Hypothesis[]; ended: Hypothesis[] }
type Candidate = { parent: number; token: number; score: number }

/**
 * The best latents that each group finds, best first: at most `beams` of them, at least one.
 *
 * At every step a group keeps its `beams` best open sequences; each may also end, and the `beams` best that ended are kept
 * apart. A group is done when no open sequence can still overtake them, which is known since scores only fall. With as many
 * beams as there are prefixes of a length the result is the exact optimum.
 * @param penalty taken from the score of a token for each time that earlier groups chose it at the same place; ⊤ is exempt
 */
export function searchBeams(
  lane: Lane,
  { sampler, prompt }: { sampler: Sampler; prompt: readonly number[] },
  { groups: count, beams, penalty }: { groups: number; beams: number; penalty: number },
): Promise<Hypothesis[][]> {
  const { model, support } = sampler
  return withNextTokens(lane, sampler, prompt, async (next) => {
    const empty: Hypothesis = { tokens: [], logQ: 0, score: 0 }
    const groups = Array.from({ length: count }, (): Group => ({ open: [empty], ended: [] }))
    let distributions = groups.map(() => [next.first])
    while (groups.some(({ open }) => open.length > 0)) {
      const penalties = new Float64Array(model.dimensions.vocabulary)
      const steps: { parent: number; token: number }[] = []
      let before = 0 // open sequences of the groups before, as `next` counts them
      for (const [g, group] of groups.entries()) {
        const { open } = group
        group.ended = best([...group.ended, ...endings(open, distributions[g], support.stop)], beams)
        const chosen = bestTokens(open, distributions[g], { beams, penalties, stop: support.stop })
        const done = group.ended.length === beams && !(chosen[0]?.score > group.ended[beams - 1].score)
        const goesOn = done ? [] : chosen
        group.open = goesOn.map(({ parent, token, score }) => ({
          tokens: [...open[parent].tokens, token],
          logQ: open[parent].logQ + distributions[g][parent][token],
          score,
        }))
        for (const { parent, token } of goesOn) {
          steps.push({ parent: before + parent, token })
          penalties[token] += penalty
        }
        before += open.length
      }
      const answers = await next.after(steps)
      distributions = groups.map(({ open }) => answers.splice(0, open.length))
    }
    return groups.map(({ ended }) => ended)
  })
}

/** The open sequences with ⊤, where it may follow. */
const endings = (open: readonly Hypothesis[], next: readonly LogProbabilities[], stop: number): Hypothesis[] =>
  open.flatMap(({ tokens, logQ, score }, i) => {
    const logStop = next[i][stop]
    return logStop > -Infinity ? [{ tokens, logQ: logQ + logStop, score: score + logStop }] : []
  })

const best = (hypotheses: readonly Hypothesis[], count: number) =>
  [...hypotheses].sort((a, b) => b.score - a.score).slice(0, count)

/** The best continuations other than ⊤, best first; of equals the one that is met first. */
function bestTokens(
  open: readonly Hypothesis[],
  next: readonly LogProbabilities[],
  { beams, penalties, stop }: { beams: number; penalties: Float64Array; stop: number },
): Candidate[] {
  const found: Candidate[] = []
  for (const [parent, { score: soFar }] of open.entries())
    for (let token = 0; token < penalties.length; token++) {
      const score = soFar + next[parent][token] - penalties[token]
      const worst = found.length < beams ? -Infinity : found[beams - 1].score
      if (token === stop || !(score > worst)) continue
      const place = found.findIndex((other) => other.score < score)
      found.splice(place < 0 ? found.length : place, 0, { parent, token, score })
      if (found.length > beams) found.pop()
    }
  return found
}
