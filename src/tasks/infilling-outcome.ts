/**
 * @file What infilling reports where the data has the true sentences (Hu et al. 2024, section 4.2): how much of their wording and
 * meaning is in the samples, beside asking the base model for the sentence, and importance resampling from it with equal
 * compute.
 */

import { importanceResampling } from '../baselines/importance-resampling.ts'
import { baselines } from '../baselines/index.ts'
import type { Query } from '../baselines/method.ts'
import { logTargets } from '../baselines/proposals.ts'
import { distinctNgrams } from '../evaluation/diversity.ts'
import { embeddingScore } from '../evaluation/embedding-score.ts'
import { runsWithin } from '../evaluation/equal-compute/budgeted.ts'
import { bleu, gleu, wordsOf } from '../evaluation/overlap.ts'
import type { SentenceEncoder } from '../evaluation/sentence-encoder.ts'
import type { Lane } from '../models/lane.ts'
import type { LanguageModel } from '../models/language-model.ts'
import type { Latent } from '../sampling/latent.ts'
import { mean } from '../sums.ts'
import { chatTokens } from '../tokenizer/chat-template.ts'
import type { Example, Outcome, TaskEvaluation } from './task.ts'

/** Of each method for each story. */
const SAMPLES = 32
/** Of these, so many are held against the reference by meaning: an encoder takes longer than everything else. */
const EMBEDDED_SAMPLES = 8
const SHOWN_SAMPLES = 2

/** What was drawn for one story, with log R^(1/T) of each, nats. */
type Drawn = { latents: readonly Latent[]; logReward: readonly number[]; forwardTokens: number }

/** By the names that figures go by. */
const drawers: Record<string, (lane: Lane, query: Query, story: Story) => Promise<Drawn>> = {
  base: (lane, query) => plainly(lane, ofBase(query)),
  'base model, asked': async (lane, query, { asked }) => {
    const { model, support } = query.sampler
    if (asked.length + support.maxTokens + 1 > model.dimensions.contextLength) return nothing
    return plainly(lane, { ...ofBase(query), prompt: asked })
  },
  'base model, resampled': resampledAtEqualCost,
  tuned: (lane, query) => plainly(lane, query),
}

const ofBase = (query: Query): Query => ({ ...query, sampler: { ...query.sampler, adapter: undefined } })
const nothing: Drawn = { latents: [], logReward: [], forwardTokens: 0 }

type Story = { reference: string; asked: readonly number[] }

/** The true sentence of a story, where its data has it. */
const referenceOf = ({ middle, known }: Example): string | undefined => middle ?? known

export async function infillingOutcome(evaluation: TaskEvaluation): Promise<Outcome> {
  const { model, support, samplers, examples, prompts, rewardTemperature, random, encoder } = evaluation
  const stories = examples.flatMap((example, i) => {
    const reference = referenceOf(example)
    return reference === undefined ? [] : [{ example, reference, i, asked: askedFor(example, model) }]
  })
  if (stories.length === 0) return { figures: {} }
  const methods: Record<string, Drawn[]> = {}
  for (const [name, drawer] of Object.entries(drawers))
    methods[name] = await model.lanes.each(stories, (lane, { i, ...story }) => {
      const { tokens: prompt, reward } = prompts[i]
      const sampler = { model: model.description, adapter: samplers.tuned, support }
      const draws = random.at('infilling', name, i)
      const query = { sampler, tokenizer: model.tokenizer, prompt, reward, rewardTemperature, samples: SAMPLES, draws }
      return drawer(lane, query, story)
    })
  const { stop } = support
  const stopText = model.tokenizer.specialTokens.has(stop) ? '' : model.tokenizer.textOf(stop)
  const references = stories.map(({ reference }) => withoutEnd(reference.trim(), stopText))
  const figures: Outcome['figures'] = {}
  for (const [name, drawn] of Object.entries(methods))
    figures[name] = await figuresOf(drawn, references, model, encoder)
  return { figures, notes: shown(methods, stories[0], model) }
}

/** Samples do not have what ends them, such as the full stop: ⊤ is no part of a latent. */
const withoutEnd = (text: string, end: string) => (end !== '' && text.endsWith(end) ? text.slice(0, -end.length) : text)

async function plainly(lane: Lane, query: Query): Promise<Drawn> {
  const { latents, cost } = await baselines.ancestral.run(lane, query)
  return { latents, logReward: await logTargets(lane, query, latents), forwardTokens: cost.forwardTokens }
}

/** As many proposals of the base model as cost no more, rewards included, than the trained sampler's samples. */
async function resampledAtEqualCost(lane: Lane, query: Query): Promise<Drawn> {
  const plain = await baselines.ancestral.run(lane, query)
  const one = importanceResampling(1)
  const [within] = await runsWithin([plain.cost.forwardTokens], 1, async (samples) => {
    const { latents, cost } = await one.run(lane, { ...ofBase(query), samples })
    return { latents, forwardTokens: cost.forwardTokens }
  })
  if (!within) return nothing
  const { latents, forwardTokens } = within
  return { latents, logReward: await logTargets(lane, query, latents), forwardTokens }
}

/** Asks for the sentence in words: in the model's chat template if it has one. */
function askedFor({ beginning, ending }: Example, { tokenizer, chatTemplate }: LanguageModel): readonly number[] {
  const story = `Beginning: ${beginning.trim()}\nEnding: ${ending.trim()}`
  if (chatTemplate === undefined) return tokenizer.encodePrompt(`${story}\nMiddle:`)
  const content = `${story}\nWrite the one sentence between the beginning and the ending, and nothing else.`
  return chatTokens({ messages: [{ role: 'user', content }] }, chatTemplate, tokenizer)
}

/** Means over samples, then over stories; stories without a sample of a method have no part in its means. */
async function figuresOf(
  drawn: readonly Drawn[],
  references: readonly string[],
  { tokenizer }: LanguageModel,
  encoder: SentenceEncoder | undefined,
): Promise<Record<string, number>> {
  const sums: Record<string, number> = {}
  let told = 0
  for (const [s, { latents, logReward, forwardTokens }] of drawn.entries()) {
    if (latents.length === 0) continue
    told++
    const reference = references[s]
    const texts = latents.map(({ tokens }) => tokenizer.decodeContinuation(tokens).trim())
    const words = texts.map((text) => wordsOf(text))
    const own = wordsOf(reference)
    const figures = {
      'BLEU-4': mean(words.map((candidate) => bleu(candidate, [own]))),
      'GLEU-4': mean(words.map((candidate) => gleu(candidate, [own]))),
      ...(encoder && { 'embedding F1': await nearness(encoder, texts.slice(0, EMBEDDED_SAMPLES), reference) }),
      'log R': mean(logReward),
      'distinct 2-grams': distinctNgrams(words, 2),
      tokens: forwardTokens,
    }
    for (const [name, value] of Object.entries(figures)) sums[name] = (sums[name] ?? 0) + value
  }
  return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / told]))
}

async function nearness(encoder: SentenceEncoder, texts: readonly string[], reference: string): Promise<number> {
  const [target, ...candidates] = await encoder.embedTokens([reference, ...texts])
  return mean(candidates.map((candidate) => embeddingScore(candidate, target).f1))
}

/** One story with samples of each method, side by side. */
function shown(
  methods: Record<string, Drawn[]>,
  { reference, example }: Story & { example: Example },
  { tokenizer }: LanguageModel,
): string[] {
  const titleOf = (name: string) => (name === 'base' ? 'base model' : name === 'tuned' ? 'fine-tuned' : name)
  const width = Math.max(...Object.keys(methods).map((name) => titleOf(name).length)) + 2
  const line = (name: string, text: string) => `${name.padEnd(width)}${text.replace(/\s+/g, ' ').trim()}`
  return [
    line('the story', `${example.beginning} … ${example.ending}`),
    line('its sentence', reference),
    ...Object.entries(methods).flatMap(([name, [{ latents }]]) =>
      latents
        .slice(0, SHOWN_SAMPLES)
        .map(({ tokens }, n) => line(n === 0 ? titleOf(name) : '', tokenizer.decodeContinuation(tokens))),
    ),
  ]
}
