/**
 * @file Makes data/reviews: sentences that tell a film's plot (objective) and sentences that judge it (subjective), from
 * templates whose slots are filled with a seed, in the lower case and spaced punctuation of film review corpora. No sentence
 * occurs twice, so that the files are disjoint, and both have as many of the one kind as of the other.
 * Usage: npx tsx scripts/make-reviews.ts
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { type Draws, seededRandom } from '../src/random.ts'

const SEED = 2024
/** The recipe's words were chosen on an earlier draw of held-out sentences: `draw` names another. */
const FILES = { train: { count: 60, draw: 'train' }, 'held-out': { count: 40, draw: 'held-out again' } }

const slots: Record<string, readonly string[]> = {
  hero: ['a little girl', 'a young boy', 'an old man', 'a lost dog', 'a poor farmer', 'a shy teacher', 'two brothers'],
  other: ['his grandmother', 'a talking cat', 'her best friend', 'a strange neighbor', 'an old sailor', 'their mother'],
  thing: ['a red key', 'a secret letter', 'an old map', 'a broken boat', 'a magic ball', 'a box of gold'],
  place: ['in a small town', 'in the big city', 'on a farm', 'by the sea', 'in the dark forest', 'behind the school'],
  time: ['one summer', 'after the war', 'one night', 'on his birthday', 'when the rain comes', 'years later'],
  act: [
    'runs away from home',
    'gets lost',
    'finds a new friend',
    'looks for work',
    'hides from the police',
    'falls ill',
  ],
  part: ['the story', 'the acting', 'the music', 'the ending', 'the camera work', 'the dialogue', 'the first half'],
  good: ['funny', 'lovely', 'very warm', 'clever', 'beautiful to look at', 'full of heart', 'a real joy'],
  bad: ['dull', 'too long', 'a sad mess', 'silly', 'hard to believe', 'very weak', 'a waste of time'],
  feel: ['i loved', 'i did not like', 'you will enjoy', 'nobody needs', 'it is hard not to like', 'we can forgive'],
  kind: ['comedy', 'film', 'love story', 'fairy tale', 'drama', 'picture'],
  much: ['simply', 'really', 'almost always', 'sadly', 'at times', 'never less than'],
}

const templates = {
  objective: [
    '{time} , {hero} finds {thing} {place} .',
    '{hero} {act} and meets {other} {place} .',
    '{hero} and {other} live {place} until one of them {act} .',
    'when {other} {act} , {hero} must look for {thing} .',
    '{time} {hero} takes {thing} to {other} .',
    '{hero} works {place} and dreams of {thing} .',
    'the film follows {hero} who {act} {place} .',
  ],
  subjective: [
    '{part} is {much} {good} .',
    '{part} is {bad} , and {part} is no better .',
    '{feel} this {kind} because {part} is {good} .',
    'a {kind} that is {much} {bad} .',
    '{part} may be {bad} , but {part} is {much} {good} .',
    'this {kind} is {good} from beginning to end .',
    'what a {kind} : {good} , but {much} {bad} .',
  ],
}

const random = seededRandom(SEED)
const labels = Object.keys(templates) as (keyof typeof templates)[]
const seen = new Set<string>()
const folder = new URL('../data/reviews/', import.meta.url)
mkdirSync(folder, { recursive: true })
for (const [file, { count, draw }] of Object.entries(FILES)) {
  const rows = Array.from({ length: count }, (_, i) => {
    const label = labels[i % labels.length]
    return { text: newSentence(templates[label], random.at('review', draw, i)), label }
  })
  writeFileSync(new URL(`${file}.jsonl`, folder), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
}

function newSentence(forms: readonly string[], draws: Draws): string {
  const pick = <Item>(items: readonly Item[]) => items[draws.integer(items.length)]
  for (;;) {
    const taken = new Set<string>() // no slot says the same twice in a sentence
    const sentence = pick(forms).replace(/\{(\w+)\}/g, (_, slot: string) => {
      const filling = pick(slots[slot].filter((text) => !taken.has(text)))
      taken.add(filling)
      return filling
    })
    if (seen.has(sentence)) continue
    seen.add(sentence)
    return sentence
  }
}
