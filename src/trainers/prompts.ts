/** @file Prompts with their rewards, checked before any work, and the latents that may answer them. */
import { UserError } from '../errors.ts'
import { describeContext } from '../models/architecture.ts'
import type { LanguageModel, ModelOutline } from '../models/language-model.ts'
import type { Reading } from '../rewards/prefix-scores.ts'
import { beginningOf, continuationOf, type Reward, type Text, tokensOf } from '../rewards/reward.ts'
import { checkSupport, type Support } from '../sampling/support.ts'
import { unfitForSentence } from '../tokenizer/plain-sentence.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { stopToken, tokenBias, tokensNamed, tokensOfCharacters } from '../tokenizer/vocabulary.ts'
import type { TrainingConfig } from './config.ts'

/** A prompt that latents are sampled for. */
export type Prompt = {
  /** Names it in messages, in the replay buffer and in the run's record. */
  name: string
  tokens: readonly number[]
  reward: Reward
  /** Latents that are known to be good, with or without ⊤ at their end; they begin in the replay buffer. */
  known: readonly (readonly number[])[]
  /** What follows a latent, where that is to be learned. */
  answer?: Answer
}

/** Y: `tokens` follow X, which is `beginning`, a latent and ⊤. */
export type Answer = { beginning: readonly number[]; tokens: readonly number[] } & Reading

/** A prompt as a user gives it: text or tokens, with a reward of its own where the run's is not meant. */
export type PromptInput =
  | Text
  | {
      name?: string
      prompt: Text
      reward?: Reward
      known?: readonly Text[]
      /** Y; `beginning` is X as the reference model reads it before Z, where it is not the prompt. */
      answer?: { text: Text; beginning?: Text } & Reading
    }

/** @throws UserError for an empty list, a missing reward, an empty prompt or one that leaves no room for the latent */
export function resolvePrompts(
  inputs: readonly PromptInput[],
  { model, reward, maxTokens }: { model: ModelOutline; reward?: Reward; maxTokens: number },
): Prompt[] {
  if (inputs.length === 0)
    throw new UserError({ what: 'there are no prompts', where: 'prompts', fix: 'give at least one' })
  const { contextLength } = model.description.dimensions
  const names = new Map<string, number>()
  return inputs.map((input, i) => {
    const given: Exclude<PromptInput, Text> = typeof input === 'object' && 'prompt' in input ? input : { prompt: input }
    const name = given.name ?? (typeof given.prompt === 'string' ? given.prompt : `prompt ${i + 1}`)
    const tokens = tokensOf(given.prompt, model.tokenizer)
    const own = given.reward ?? reward
    const where = `prompt ${i + 1} (${name.length > 60 ? `${name.slice(0, 57)}...` : name})`
    if (!own) throw new UserError({ what: 'it has no reward', where, fix: 'give the run or the prompt a reward' })
    if (tokens.length === 0) throw new UserError({ what: 'it has no tokens', where, fix: 'give it text' })
    if (tokens.length + maxTokens + 1 > contextLength)
      throw new UserError({
        what: `it has ${tokens.length} tokens; ${model.name} reads ${describeContext(model.description)} and the latent may take ${maxTokens + 1}`,
        where,
        fix: 'shorten it, or lower latent.maxTokens',
      })
    const namesakes = names.get(name) ?? 0
    names.set(name, namesakes + 1)
    const known = (given.known ?? []).map((text) => continuationOf(text, model.tokenizer))
    const answer = given.answer && answerOf(given.answer, tokens, model.tokenizer)
    return {
      name: namesakes === 0 ? name : `${name} (${namesakes + 1})`,
      tokens,
      reward: own,
      known,
      ...(answer && { answer }),
    }
  })
}

const answerOf = (
  { text, beginning, ...reading }: { text: Text; beginning?: Text } & Reading,
  prompt: readonly number[],
  tokenizer: Tokenizer,
): Answer => ({
  ...reading,
  tokens: continuationOf(text, tokenizer),
  beginning: beginningOf(beginning, { prompt, tokenizer }),
})

/** The latents that a config allows. @throws UserError where ⊤ is no single token or the limits leave nothing */
export function supportOf(
  { latent }: Pick<TrainingConfig, 'latent'>,
  { description, tokenizer }: LanguageModel,
): Support {
  const { vocabulary } = description.dimensions
  const { allowedTokens, allowedCharacters, forbiddenTokens, plainSentence, minTokens, maxTokens, renormaliseReward } =
    latent
  const named = (tokens: readonly (number | string)[], where: string) => tokensNamed(tokenizer, tokens, where)
  const nameless = range(tokenizer.vocabularySize, vocabulary) // columns that only pad the matrix stand for no text
  const allowed = [
    ...named(allowedTokens ?? [], 'latent.allowedTokens'),
    ...(allowedCharacters === null ? [] : tokensOfCharacters(tokenizer, allowedCharacters)),
  ]
  const bias = tokenBias(vocabulary, {
    ...((allowedTokens || allowedCharacters) && { allowed }),
    forbidden: [
      ...named(forbiddenTokens, 'latent.forbiddenTokens'),
      ...(plainSentence ? unfitForSentence(tokenizer) : []),
      ...nameless,
    ],
  })
  const isFree = bias.every((value) => value === 0)
  const stop = stopToken(tokenizer, latent.stop)
  return checkSupport({ stop, minTokens, maxTokens, ...(!isFree && { bias }), renormaliseReward }, vocabulary)
}

const range = (from: number, to: number) => Array.from({ length: Math.max(0, to - from) }, (_, i) => from + i)
