/** @file Edit distance between token sequences. */
import { distance } from 'fastest-levenshtein'

/**
 * The Levenshtein distance from `tokens` to another sequence, as a function of the other.
 *
 * The library compares strings of 16-bit characters, and vocabularies have more tokens than that. But only equality
 * counts: the tokens of `tokens` are numbered from 1 in order of appearance, and whatever else the other sequence holds
 * matches nothing and may all be character 0. Exact for any vocabulary, up to 65,535 distinct tokens in `tokens`.
 */
export function distanceFrom(tokens: readonly number[]): (other: readonly number[]) => number {
  const characters = new Map<number, number>()
  for (const token of tokens) if (!characters.has(token)) characters.set(token, characters.size + 1)
  const spell = (sequence: readonly number[]) =>
    String.fromCharCode(...sequence.map((token) => characters.get(token) ?? 0))
  const spelled = spell(tokens)
  return (other) => distance(spelled, spell(other))
}
