/**
 * @file How texts are cut before byte pairs are merged. A GGUF file only names the way (`tokenizer.ggml.pre`), a
 * tokenizer.json spells it out; the names and their regular expressions are llama.cpp's.
 */
import type { Step } from '../cutters.ts'

export type PreTokenizer = {
  /** Applied one after the other to what those before left: `words` are GPT-2's, `digits` single ones. */
  splits: readonly ('words' | 'digits' | { regex: string })[]
  /** A word that is a piece is that piece, whatever the merges say. */
  ignoreMerges: boolean
  /** Whether texts begin with the token for it where the file does not say. */
  addBos: boolean
  /** Unicode composition that the tokenizers of this name do first; the file has no word for it. */
  normalizer: 'NFC' | undefined
}

const WORD_ENDINGS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const wordsOf = (digits: string) =>
  `${WORD_ENDINGS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`
const LLAMA3 = { regex: wordsOf('\\p{N}{1,3}') }
const QWEN2 = { regex: wordsOf('\\p{N}') }
const [UPPER, LOWER] = ['[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]', '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]']
const TEKKEN = {
  regex: `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`,
}

const plain = { ignoreMerges: false, addBos: false, normalizer: undefined }

/** The ways there are; of two that are the same the first is written. */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizer>> = {
  'gpt-2': { ...plain, splits: ['words'] },
  smollm: { ...plain, splits: ['digits', 'words'] },
  'llama-bpe': { splits: [LLAMA3], ignoreMerges: true, addBos: true, normalizer: undefined },
  qwen2: { ...plain, splits: [QWEN2], normalizer: 'NFC' },
  tekken: { splits: [TEKKEN], ignoreMerges: true, addBos: true, normalizer: undefined },
  default: {
    ...plain,
    splits: [{ regex: '[\\p{P}\\$\\+<=>\\^~\\|]+' }, 'words', { regex: '\\p{N}+' }, { regex: '[0-9][0-9][0-9]' }],
  },
  'smaug-bpe': { ...plain, splits: [LLAMA3] },
  stablelm2: { ...plain, splits: [QWEN2] },
  'deepseek-r1-qwen': { ...plain, splits: [QWEN2] },
  llama3: { splits: [LLAMA3], ignoreMerges: true, addBos: true, normalizer: undefined },
  'llama-v3': { splits: [LLAMA3], ignoreMerges: true, addBos: true, normalizer: undefined },
  'phi-2': { ...plain, splits: ['words'] },
  starcoder: { ...plain, splits: ['digits', 'words'] },
}

/** The pre-tokenizer of a tokenizer.json that cuts in this way. */
export function preTokenizerStep({ splits }: PreTokenizer): Step {
  const byteLevel = (use_regex: boolean): Step => ({
    type: 'ByteLevel',
    add_prefix_space: false,
    trim_offsets: true,
    use_regex,
  })
  const steps = splits.map((split): Step => {
    if (split === 'words') return byteLevel(true)
    if (split === 'digits') return { type: 'Digits', individual_digits: true }
    return { type: 'Split', pattern: { Regex: split.regex }, behavior: 'Isolated', invert: false }
  })
  const last = splits.at(-1) === 'words' ? [] : [byteLevel(false)]
  return steps.length + last.length === 1 ? steps[0] : { type: 'Sequence', pretokenizers: [...steps, ...last] }
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

/** What a step does, in one line; the same for two ways to write it. */
function signatureOf(step: Step | null): string | undefined {
  if (!step) return undefined
  if (step.type === 'Sequence') {
    const signatures = (step.pretokenizers as Step[]).map(signatureOf)
    return signatures.includes(undefined) ? undefined : signatures.join('\n').replace(/words\nbytes$/, 'words')
  }
  if (step.type === 'Digits') return step.individual_digits === true ? 'digits' : undefined
  if (step.type === 'ByteLevel') {
    if (step.add_prefix_space) return undefined
    return step.use_regex === false ? 'bytes' : 'words'
  }
  const regex = (step.pattern as { Regex?: string } | undefined)?.Regex
  const isPlainSplit = step.type === 'Split' && step.behavior === 'Isolated' && !step.invert
  return isPlainSplit ? regex?.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", WORD_ENDINGS) : undefined
}
