/**
 * @file The exact distribution over a list of texts, such as the numbers of section 2: the probability of each is summed over
 * all its tokenisations that the support allows, without sampling. "42" may be one token, two, or bytes; whoever reads the
 * text sees one number, so all of them count.
 */
import type { LoraAdapter } from '../adapters/lora.ts'
import { logSumExp } from '../log-space.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Support } from '../sampling/support.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { klDivergence, normaliseLog } from './divergence.ts'
import { enumeratePolicy } from './enumerate.ts'

/** A text that begins in more ways than this, ends reached or not, is no small problem. */
const MAX_BEGINNINGS = 100_000

export type OutcomeDistribution = {
  /** [outcomes], log of the probability that the sampler writes one of the outcome's texts; −∞ where it cannot. */
  logP: Float64Array
  /** The probability of all outcomes together; the rest is invalid. */
  validMass: number
  /** KL(q given that it is valid ‖ uniform), nats: skew alone, whatever the invalid mass. */
  klToUniform: number
  /** KL(uniform ‖ q), nats: skew and invalid mass, −log(valid mass) of it; infinite where an outcome is impossible. */
  klFromUniform: number
}

/**
 * The exact distribution of a sampler over outcomes.
 * @param outcomes  [outcomes][texts]: the texts that mean each outcome, such as "7" and " 7"; no text twice
 * @throws Error for a text that means two outcomes, or too many tokenisations
 */
export async function outcomeDistribution(
  { model, adapter, support }: { model: LanguageModel; adapter?: LoraAdapter; support: Support },
  prompt: readonly number[],
  outcomes: readonly (readonly string[])[],
): Promise<OutcomeDistribution> {
  const { latents, distributionOf } = spellOutcomes(model.tokenizer, support, outcomes)
  return distributionOf(await enumeratePolicy({ model, support, prompt, latents }, adapter))
}

/**
 * Every latent that spells an outcome, and the distribution over outcomes that log q of each of these latents makes: for
 * samplers that are no model with an adapter. @throws Error as `outcomeDistribution`
 */
export function spellOutcomes(
  tokenizer: Parameters<typeof tokenisationsOf>[0],
  support: Support,
  outcomes: readonly (readonly string[])[],
): { latents: number[][]; distributionOf: (logQ: ArrayLike<number>) => OutcomeDistribution } {
  const texts = outcomes.flat()
  if (new Set(texts).size < texts.length) {
    const twice = texts.find((text, i) => texts.indexOf(text) < i)
    throw new Error(`the text ${JSON.stringify(twice)} means two outcomes`)
  }
  const cut = tokenisationsOf(tokenizer, support, texts)
  const distributionOf = (logQ: ArrayLike<number>) => {
    let next = 0
    const logP = Float64Array.from(outcomes, (texts) => {
      const count = texts.reduce((sum, text) => sum + cut.get(text)!.length, 0)
      next += count
      return logSumExp(Array.prototype.slice.call(logQ, next - count, next) as number[])
    })
    return { logP, ...comparedWithUniform(logP) }
  }
  return { latents: texts.flatMap((text) => cut.get(text)!), distributionOf }
}

/** How far a distribution over outcomes is from the uniform one. @param logP  [outcomes], may sum to less than 1 */
export function comparedWithUniform(logP: Float64Array): Omit<OutcomeDistribution, 'logP'> {
  const uniform = new Float64Array(logP.length).fill(-Math.log(logP.length))
  return {
    validMass: Math.exp(logSumExp(logP)),
    klToUniform: klDivergence({ of: normaliseLog(logP), from: uniform }),
    klFromUniform: klDivergence({ of: uniform, from: logP }),
  }
}

/**
 * Every sequence of tokens of the support that spells each text, byte by byte. Special tokens and ⊤ spell nothing.
 * @returns text → [tokenisations][tokens]
 */
export function tokenisationsOf(
  tokenizer: Pick<Tokenizer, 'bytesOf' | 'specialTokens' | 'vocabularySize'>,
  { stop, bias, minTokens, maxTokens }: Support,
  texts: readonly string[],
): Map<string, number[][]> {
  const root = byteTrie(
    Array.from({ length: tokenizer.vocabularySize }, (_, token) => token)
      .filter((token) => token !== stop && !tokenizer.specialTokens.has(token) && (!bias || bias[token] === 0))
      .map((token) => ({ token, bytes: tokenizer.bytesOf(token) }))
      .filter(({ bytes }) => bytes.length > 0),
  )
  return new Map(
    texts.map((text) => {
      const bytes = Buffer.from(text, 'utf8')
      const all: number[][] = []
      let beginnings = 0
      const extend = (latent: readonly number[], at: number) => {
        if (++beginnings > MAX_BEGINNINGS) throw new Error(`${JSON.stringify(text)} has too many tokenisations`)
        if (at === bytes.length && latent.length >= minTokens) all.push([...latent])
        if (latent.length === maxTokens) return
        let node: Trie | undefined = root
        for (let end = at; end < bytes.length; ) {
          node = node.next.get(bytes[end++])
          if (!node) return
          for (const token of node.tokens) extend([...latent, token], end)
        }
      }
      extend([], 0)
      return [text, all]
    }),
  )
}

/** Tokens by their bytes: `tokens` are those that end here. */
type Trie = { tokens: number[]; next: Map<number, Trie> }

function byteTrie(tokens: readonly { token: number; bytes: Uint8Array }[]): Trie {
  const root: Trie = { tokens: [], next: new Map() }
  for (const { token, bytes } of tokens) {
    let node = root
    for (const byte of bytes) {
      const next: Trie = node.next.get(byte) ?? { tokens: [], next: new Map() }
      node.next.set(byte, next)
      node = next
    }
    node.tokens.push(token)
  }
  return root
}
