/**
 * @file Makes data/stories and data/prompts from stories that the embedded model itself tells (temperature 0.75). A story is
 * sampled whole and cut into sentences.
 *
 * data/stories: three consecutive sentences give a beginning, a middle (which is left out, except of a second copy of the held-out
 * ones: it is what the fine-tuned model is to find) and an ending. data/prompts: its first one to three sentences. data/concepts: two words of
 * sentences that begin with "One day,", and what follows there. In each no text occurs twice, so that training
 * and held-out prompts are disjoint. Usage: npx tsx scripts/make-stories.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { loadLanguageModel } from '../src/models/language-model.ts'
import { seededRandom } from '../src/random.ts'
import { sampleLatents } from '../src/sampling/sample.ts'

const SEED = 2024
const TRAINING = 320
const HELD_OUT = 40
const STORIES_AT_ONCE = 64
const STORY_TOKENS = 140
/** Of these sentences there are enough pairs of words that at least so many have. */
const DAYS = 1600
const COMMON = 8
const DAY = 'One day,'
const STOP_WORDS = new Set(
  'she her the and was were that they them his him for had has have with what who but not all out said went saw did named told asked there time'.split(
    ' ',
  ),
)

const root = new URL('../', import.meta.url).pathname
const model = await loadLanguageModel(`${root}models/stories260K`)
const { tokenizer, description, lanes } = model
const begin = tokenizer.bosToken!
const random = seededRandom(SEED)

const stories: { beginning: string; middle: string; ending: string }[] = []
const seen = new Set<string>()
for (let round = 0; stories.length < TRAINING + HELD_OUT; round++)
  for (const sentences of await tellStories('stories', round)) {
    const triple = firstTriple(sentences)
    if (!triple) continue
    const [beginning, middle, ending] = triple
    if (seen.has(beginning) || seen.has(ending)) continue
    seen.add(beginning).add(ending)
    stories.push({ beginning, middle, ending })
  }

const prompts = new Set<string>()
for (let round = 0; prompts.size < TRAINING + HELD_OUT; round++)
  for (const [n, sentences] of (await tellStories('prompts', round)).entries()) {
    const count = 1 + random.at('sentences', round, n).integer(3)
    if (sentences.length > count && sentences.slice(0, count).every(isPlain))
      prompts.add(sentences.slice(0, count).join(' '))
  }

const concepts = conceptSets(await daysOf())
await model.dispose()

write(
  'stories',
  'jsonl',
  stories.map(({ beginning, ending }) => JSON.stringify({ beginning, ending })),
)
writeFileSync(
  `${root}data/stories/held-out-with-middle.jsonl`,
  stories
    .slice(TRAINING, TRAINING + HELD_OUT)
    .map((story) => `${JSON.stringify(story)}\n`)
    .join(''),
)
write('prompts', 'txt', [...prompts])
write(
  'concepts',
  'jsonl',
  concepts.map((row) => JSON.stringify(row)),
)

/** What happens in stories "One day, …": sentences without these words, of a length to learn from. */
async function daysOf(): Promise<string[]> {
  const days = new Set<string>()
  for (let round = 0; days.size < DAYS; round++)
    for (const sentences of await tellStories('concepts', round))
      for (const sentence of sentences)
        if (isPlain(sentence) && sentence.startsWith(DAY) && tokenizer.encode(sentence).length <= 22)
          days.add(sentence.slice(DAY.length))
  return [...days]
}

/** Two words of each sentence that several have, no two pairs the same, with the sentence that has them. */
function conceptSets(sentences: readonly string[]): { concepts: string[]; known: string }[] {
  const contentOf = (sentence: string) =>
    [...new Set(sentence.match(/\b[a-z]{3,}\b/g))].filter((word) => !STOP_WORDS.has(word))
  const counts = new Map<string, number>()
  for (const word of sentences.flatMap(contentOf)) counts.set(word, (counts.get(word) ?? 0) + 1)
  const sets = new Map<string, { concepts: string[]; known: string }>()
  for (const [n, known] of sentences.entries()) {
    const words = contentOf(known).filter((word) => counts.get(word)! >= COMMON)
    if (words.length < 2) continue
    const draws = random.at('words', n)
    const [first] = words.splice(draws.integer(words.length), 1)
    const concepts = [first, words[draws.integer(words.length)]].sort()
    if (!sets.has(concepts.join())) sets.set(concepts.join(), { concepts, known })
  }
  return [...sets.values()].slice(0, TRAINING + HELD_OUT)
}

/** Sentences of the first paragraphs of stories; the last of each may be cut and is left out. */
async function tellStories(purpose: string, round: number): Promise<string[][]> {
  const support = { stop: begin, minTokens: 0, maxTokens: STORY_TOKENS } // the next story begins where one ends
  const temperatures = new Array<number>(STORIES_AT_ONCE).fill(0.75)
  const draws = random.at(purpose, round)
  const sampled = await lanes.use((lane) =>
    sampleLatents(lane, { model: description, support }, { prompt: [begin], temperatures, draws }),
  )
  return sampled.map((tokens) =>
    tokenizer
      .decode(tokens)
      .trim()
      .split('\n')[0]
      .split(/(?<=[.!?])\s+/)
      .slice(0, -1),
  )
}

/** Three consecutive sentences that end in a full stop and have the lengths of the task (tokens). */
function firstTriple(sentences: readonly string[]): readonly string[] | undefined {
  const length = (text: string) => tokenizer.encode(text).length
  for (let i = 0; i + 2 < sentences.length; i++) {
    const triple = sentences.slice(i, i + 3)
    const [beginning, middle, ending] = triple.map(length)
    if (triple.every(isPlain) && beginning <= 30 && middle >= 4 && middle <= 16 && ending >= 4 && ending <= 16)
      return triple
  }
  return undefined
}

function isPlain(text: string): boolean {
  return /^[A-Z][A-Za-z ,']+\.$/.test(text)
}

/** One file to train on and one that is held out. */
function write(folder: string, extension: string, lines: readonly string[]): void {
  mkdirSync(`${root}data/${folder}`, { recursive: true })
  const text = (from: number, to: number) =>
    lines
      .slice(from, to)
      .map((line) => `${line}\n`)
      .join('')
  writeFileSync(`${root}data/${folder}/train.${extension}`, text(0, TRAINING))
  writeFileSync(`${root}data/${folder}/held-out.${extension}`, text(TRAINING, TRAINING + HELD_OUT))
}
