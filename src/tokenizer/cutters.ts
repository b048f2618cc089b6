/**
 * @file The tokenizer library, set up for each way to read a text. Left alone it recognises special tokens in every
 * text, begins every text alike, and cuts at some characters otherwise than Hugging Face does.
 */
import { Tokenizer as Cutter } from '@huggingface/tokenizers'
import { z } from 'zod'
import { UserError } from '../errors.ts'
import { type Quotation, quotation } from './quotation.ts'

/** A step of a normalizer or pre-tokenizer; other keys depend on its type. */
export const stepSchema = z.looseObject({ type: z.string() })
export type Step = z.infer<typeof stepSchema>

/** What of a tokenizer.json decides how text is cut. */
export type CutterJson = {
  model: { vocab: Record<string, number>; merges: unknown[] }
  added_tokens: { content: string; id: number; special: boolean }[]
  normalizer: Step | null
  pre_tokenizer: Step | null
}

/**
 * Ways to read a text: whether `<s>` in it is special, and whether it follows another text. In a `template` it is special
 * where it is not quoted.
 */
export type Cutters = Record<'plain' | 'special' | 'template' | 'plainContinuation' | 'specialContinuation', Cutter>

/** The cutters of a tokenizer.json. They differ in a few settings and share the vocabulary, the large part. */
export function createCutters(json: CutterJson, where: string): Cutters & Quotation {
  const exact = { ...json, pre_tokenizer: mapSteps(json.pre_tokenizer, unicodeSpaces) }
  const ordinary = { added_tokens: json.added_tokens.filter(({ special }) => !special) }
  const continuation = {
    normalizer: mapSteps(exact.normalizer, withoutFirstSpace),
    pre_tokenizer: mapSteps(exact.pre_tokenizer, withoutFirstSpace),
  }
  const special = createCutter(exact, where)
  const variant = (changes: Partial<CutterJson>) => {
    const cutter = createCutter({ ...exact, ...changes, model: { ...json.model, vocab: {}, merges: [] } }, where)
    cutter.model = special.model
    return cutter
  }
  const quoting = quotation(json.added_tokens.filter(({ special }) => special).map(({ content }) => content))
  const unnormalised = { added_tokens: json.added_tokens.map((token) => ({ ...token, normalized: false })) }
  const template = variant(unnormalised) // special tokens are found before the quotations are undone, and never after
  const { normalizer } = template
  template.normalizer = (text: string) => (normalizer ?? String)(quoting.unquote(text))
  return {
    ...quoting,
    special,
    template,
    plain: variant(ordinary),
    specialContinuation: variant(continuation),
    plainContinuation: variant({ ...ordinary, ...continuation }),
  }
}

function createCutter(json: CutterJson, where: string): Cutter {
  try {
    return new Cutter(json, {})
  } catch (error) {
    throw new UserError({ what: `not a tokenizer: ${(error as Error).message}`, where, fix: 'get the file again' })
  }
}

/** A normalizer or pre-tokenizer with each of its steps changed; steps changed to null are left out. */
function mapSteps(part: Step | null, change: (step: Step) => Step | null): Step | null {
  if (part?.type !== 'Sequence') return part && change(part)
  const list = 'normalizers' in part ? 'normalizers' : 'pretokenizers'
  const steps = z.array(stepSchema).parse(part[list])
  return { ...part, [list]: steps.map((step) => mapSteps(step, change)).filter((step) => step !== null) }
}

/** A step that puts no space before the text. */
function withoutFirstSpace(step: Step): Step | null {
  switch (step.type) {
    case 'Prepend':
      return null
    case 'Metaspace':
      return { ...step, prepend_scheme: 'never' }
    case 'ByteLevel':
      return { ...step, add_prefix_space: false }
    default:
      return step
  }
}

/** GPT-2's words. */
export const WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/**
 * The library cuts GPT-2's words by JavaScript's `\s`, for which a byte order mark (U+FEFF) is a space and U+0085 is
 * none. A `Split` step it reads as Unicode does; with a space to put first, two steps would not do the same as the one.
 */
function unicodeSpaces(step: Step): Step {
  if (step.type !== 'ByteLevel' || step.use_regex === false || step.add_prefix_space) return step
  const split = { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Isolated', invert: false }
  return { type: 'Sequence', pretokenizers: [split, { ...step, use_regex: false }] }
}
