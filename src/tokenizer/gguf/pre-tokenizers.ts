/**
 * @file How texts are cut before byte pairs are merged. A GGUF file only names the way (`tokenizer.ggml.pre`), a
 * tokenizer.json spells it out; the names and their regular expressions are llama.cpp's.
 */
import { type Step, WORDS } from '../cutters.ts'

export type PreTokenizer = {
  /** Regular expressions, applied one after the other to what those before left. */
  splits: readonly string[]
  /** A word that is a piece is that piece, whatever the merges say. */
  ignoreMerges: boolean
  /** Whether texts begin with the token for it where the file does not say. */
  addBos: boolean
  /** Unicode composition that the tokenizers of this name do first; the file has no word for it. */
  normalizer: 'NFC' | undefined
}

/**
 * What the tokenizer library takes for a digit, and so what a folder's tokenizer is cut by. llama.cpp and Hugging Face's own
 * library set other numerals apart too: ' Ⅷ' is cut after its space there, and not here.
 */
const DIGIT = '[0-9]'
const WORD_ENDINGS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const wordsOf = (digits: string) =>
  `${WORD_ENDINGS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`
const LLAMA3 = wordsOf('\\p{N}{1,3}')
const QWEN2 = wordsOf('\\p{N}')
const [UPPER, LOWER] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]']
const TEKKEN = `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`

const plain = { ignoreMerges: false, addBos: false, normalizer: undefined }
const llama3 = { splits: [LLAMA3], ignoreMerges: true, addBos: true, normalizer: undefined }

/** The ways there are; of two that are the same the first is written. */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  'gpt-2': { ...plain, splits: [WORDS] },
  smollm: { ...plain, splits: [DIGIT, WORDS] },
  'llama-bpe': llama3,
  qwen2: { ...plain, splits: [QWEN2], normalizer: 'NFC' },
  tekken: { ...llama3, splits: [TEKKEN] },
  default: { ...plain, splits: ['[\\p{P}\\$\\+<=>\\^~\\|]+', WORDS, '\\p{N}+', '[0-9][0-9][0-9]'] },
  'smaug-bpe': { ...plain, splits: [LLAMA3] },
  stablelm2: { ...plain, splits: [QWEN2] },
  'deepseek-r1-qwen': { ...plain, splits: [QWEN2] },
  llama3,
  'llama-v3': llama3,
  'phi-2': { ...plain, splits: [WORDS] },
  starcoder: { ...plain, splits: [DIGIT, WORDS] },
}

/** The pre-tokenizer of a tokenizer.json that cuts in this way. */
export function preTokenizerStep({ splits }: PreTokenizer): Step {
  const steps = splits.map((regex) => ({
    type: 'Split',
    pattern: { Regex: regex },
    behavior: 'Isolated',
    invert: false,
  }))
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
  return { type: 'Sequence', pretokenizers: [...steps, bytes] }
}

/** The name of the way in which a tokenizer.json cuts; undefined where there is none. */
export function preTokenizerName(
  step: Step | null,
  ignoreMerges: boolean,
  normalizer: Step | null,
): string | undefined {
  const signature = signatureOf(step)
  const names = Object.keys(PRE_TOKENIZERS)
  return names.find((name) => {
    const known = PRE_TOKENIZERS[name]
    const same = signature !== undefined && signature === signatureOf(preTokenizerStep(known))
    return same && known.ignoreMerges === ignoreMerges && known.normalizer === normalizer?.type
  })
}

/** What a step does; the same for two ways to write it, and undefined for what has no name. */
function signatureOf(step: Step | null): string | undefined {
  switch (step?.type) {
    case 'Sequence': {
      const signatures = (step.pretokenizers as Step[]).map(signatureOf)
      return signatures.includes(undefined) ? undefined : signatures.join('\n')
    }
    case 'Digits':
      return step.individual_digits === true ? DIGIT : undefined
    case 'ByteLevel':
      if (step.add_prefix_space) return undefined
      return step.use_regex === false ? 'bytes' : `${WORDS}\nbytes`
    case 'Split': {
      const regex = (step.pattern as { Regex?: string } | undefined)?.Regex
      const isolates = step.behavior === 'Isolated' && !step.invert
      return isolates ? regex?.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", WORD_ENDINGS) : undefined
    }
    default:
      return undefined
  }
}
