/**
 * @file SentencePiece's vocabularies give each piece a score, and join the two neighbours whose joined piece has the highest
 * one; a tokenizer.json lists the pairs that may be joined, the first ones first. One says the other.
 */

/** A pair of pieces that join, with the piece that they make. */
export type Merge = { left: string; right: string; made: string }

/**
 * The pairs in the order in which they are joined: by the score of what they make, then by the ids of the parts.
 * @param pieces  every piece, by its id
 * @param scores  of each piece; undefined where a piece is not made by joining (special tokens, bytes)
 */
export function mergesFromScores(pieces: readonly string[], scores: readonly (number | undefined)[]): Merge[] {
  const ids = new Map(pieces.map((piece, id) => [piece, id]))
  const joined = pieces.map((_, id) => id).filter((id) => scores[id] !== undefined && pieces[id].length > 1)
  joined.sort((a, b) => scores[b]! - scores[a]! || a - b)
  return joined.flatMap((id) =>
    splitsOf(pieces[id])
      .filter(({ left, right }) => ids.has(left) && ids.has(right))
      .sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!),
  )
}

/** Every way to divide a piece between two of its characters. */
function splitsOf(made: string): Merge[] {
  const splits: Merge[] = []
  for (let at = 1; at < made.length; at++) {
    const isWithinCharacter = (made.charCodeAt(at) & 0xfc00) === 0xdc00
    if (!isWithinCharacter) splits.push({ left: made.slice(0, at), right: made.slice(at), made })
  }
  return splits
}

/**
 * Scores from which `mergesFromScores` makes the same joins: 0 for what is joined first, and so on down. Pieces that no
 * pair makes come last.
 */
export function scoresFromMerges(pieces: readonly string[], made: readonly string[]): number[] {
  const firstJoin = new Map<string, number>()
  for (const [rank, piece] of made.entries()) if (!firstJoin.has(piece)) firstJoin.set(piece, rank)
  return pieces.map((piece, id) => 0 - (firstJoin.get(piece) ?? made.length + id))
}
