/**
 * @file How GGUF stores numbers: in blocks of a few values that share a scale. A block never spans two rows of a tensor.
 * Values per block and bytes per block are those of ggml.
 */

/** The types that are read here. `id` is the type's number in a file. */
export const BLOCK_TYPES = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  Q4_0: { id: 2, elements: 32, bytes: 18 },
  Q4_1: { id: 3, elements: 32, bytes: 20 },
  Q5_0: { id: 6, elements: 32, bytes: 22 },
  Q5_1: { id: 7, elements: 32, bytes: 24 },
  Q8_0: { id: 8, elements: 32, bytes: 34 },
  Q2_K: { id: 10, elements: 256, bytes: 84 },
  Q3_K: { id: 11, elements: 256, bytes: 110 },
  Q4_K: { id: 12, elements: 256, bytes: 144 },
  Q5_K: { id: 13, elements: 256, bytes: 176 },
  Q6_K: { id: 14, elements: 256, bytes: 210 },
  BF16: { id: 30, elements: 1, bytes: 2 },
} as const

export type BlockType = keyof typeof BLOCK_TYPES

/** Types that exist and are refused: look-up-table and ternary formats, integers, and what never leaves a computation. */
export const UNREAD_TYPES: Readonly<Record<number, string>> = {
  9: 'Q8_1',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
  40: 'NVFP4',
  41: 'Q1_0',
}

const typeOfId = new Map(
  (Object.keys(BLOCK_TYPES) as BlockType[]).map((type) => [BLOCK_TYPES[type].id as number, type]),
)

/** The type of a number in a file; undefined where it is not read here. */
export const blockTypeOf = (id: number): BlockType | undefined => typeOfId.get(id)

/** Bytes of so many values, which must fill whole blocks. */
export const bytesOfBlocks = (type: BlockType, elements: number): number =>
  (elements / BLOCK_TYPES[type].elements) * BLOCK_TYPES[type].bytes
