/**
 * @file Cuts stories (a text file, .gz too, stories apart by a line `<|endoftext|>`) into the prompts of the README's
 * comparison: from the first paragraph of each story the first three consecutive sentences that each end in a full stop,
 * with X ≤ 30, 4 ≤ Z ≤ 16 and Y ≤ 16 tokens of the embedded model; 200 for training and the next 20 held out.
 * Usage: npx tsx scripts/make-triples.ts STORIES FOLDER
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { loadTokenizer } from '../src/tokenizer/tokenizer.ts'

const TRAINING = 200
const HELD_OUT = 20
const [stories, folder] = process.argv.slice(2)
const tokenizer = await loadTokenizer(new URL('../models/stories260K', import.meta.url).pathname)
const length = (text: string) => tokenizer.encode(text).length
const isPlain = (text: string) => /^[^.!?"]+\.$/.test(text)

const bytes = readFileSync(stories)
const text = (stories.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
const triples = text.split('<|endoftext|>').flatMap((story) => {
  const sentences = story
    .trim()
    .split('\n')[0]
    .trim()
    .split(/(?<=[.!?])\s+/)
  for (let i = 0; i + 2 < sentences.length; i++) {
    const [beginning, middle, ending] = sentences.slice(i, i + 3).map((sentence) => sentence.trim())
    const fits = [beginning, middle, ending].every(isPlain) && length(beginning) <= 30 && length(ending) <= 16
    if (fits && length(middle) >= 4 && length(middle) <= 16) return [{ beginning, middle, ending }]
  }
  return []
})
const lines = triples.map((triple) => `${JSON.stringify(triple)}\n`)
mkdirSync(folder, { recursive: true })
writeFileSync(`${folder}/train.jsonl`, lines.slice(0, TRAINING).join(''))
writeFileSync(`${folder}/held-out.jsonl`, lines.slice(TRAINING, TRAINING + HELD_OUT).join(''))
writeFileSync(`${folder}/hard.jsonl`, lines[0]) // a single prompt on which the base model is 8 nats from the posterior
writeFileSync(`${folder}/typical.jsonl`, lines[TRAINING + 5]) // and one on which it is 5.2
