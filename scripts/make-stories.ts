/**
 * @file Makes data/stories: beginnings and endings of stories that the embedded model itself tells (temperature 0.75). A
 * story is sampled whole and cut into sentences; three consecutive ones give a beginning, a middle (which is thrown away:
 * it is what the fine-tuned model is to find) and an ending. No beginning and no ending occurs twice, so training and
 * held-out prompts are disjoint. Usage: npx tsx scripts/make-stories.ts
 */
import { writeFileSync } from 'node:fs'
import { loadLanguageModel } from '../src/models/language-model.ts'
import { seededRandom } from '../src/random.ts'
import { sampleLatents } from '../src/sampling/sample.ts'

const SEED = 2024
const TRAINING = 320
const HELD_OUT = 40
const STORIES_AT_ONCE = 64
const STORY_TOKENS = 140

const root = new URL('../', import.meta.url).pathname
const model = await loadLanguageModel(`${root}models/stories260K`)
const { tokenizer, description, lanes } = model
const begin = tokenizer.bosToken!
const random = seededRandom(SEED)

const stories: { beginning: string; ending: string }[] = []
const seen = new Set<string>()
for (let round = 0; stories.length < TRAINING + HELD_OUT; round++) {
  const support = { stop: begin, minTokens: 0, maxTokens: STORY_TOKENS } // the next story begins where one ends
  const temperatures = new Array<number>(STORIES_AT_ONCE).fill(0.75)
  const draws = random.at('stories', round)
  const sampled = await lanes.use((lane) =>
    sampleLatents(lane, { model: description, support }, { prompt: [begin], temperatures, draws }),
  )
  for (const tokens of sampled) {
    const triple = firstTriple(sentencesOf(tokenizer.decode(tokens)))
    if (!triple) continue
    const [beginning, , ending] = triple
    if (seen.has(beginning) || seen.has(ending)) continue
    seen.add(beginning).add(ending)
    stories.push({ beginning, ending })
  }
}
await model.dispose()
const lines = stories.map((story) => `${JSON.stringify(story)}\n`)
writeFileSync(`${root}data/stories/train.jsonl`, lines.slice(0, TRAINING).join(''))
writeFileSync(`${root}data/stories/held-out.jsonl`, lines.slice(TRAINING, TRAINING + HELD_OUT).join(''))

/** Sentences of the first paragraph; the last may be cut and is left out. */
function sentencesOf(story: string): string[] {
  return story
    .trim()
    .split('\n')[0]
    .split(/(?<=[.!?])\s+/)
    .slice(0, -1)
}

/** Three consecutive sentences that end in a full stop and have the lengths of the task (tokens). */
function firstTriple(sentences: readonly string[]): readonly string[] | undefined {
  const isPlain = (text: string) => /^[A-Z][A-Za-z ,']+\.$/.test(text)
  const length = (text: string) => tokenizer.encode(text).length
  for (let i = 0; i + 2 < sentences.length; i++) {
    const triple = sentences.slice(i, i + 3)
    const [beginning, middle, ending] = triple.map(length)
    if (triple.every(isPlain) && beginning <= 30 && middle >= 4 && middle <= 16 && ending >= 4 && ending <= 16)
      return triple
  }
  return undefined
}
