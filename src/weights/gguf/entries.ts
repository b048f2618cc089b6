/** @file Metadata to be written, each value with the kind that llama.cpp reads it as. */

export type Entry =
  | { kind: 'count' | 'real'; value: number }
  | { kind: 'flag'; value: boolean }
  | { kind: 'text'; value: string }
  | { kind: 'texts'; value: readonly string[] }
  | { kind: 'reals' | 'integers'; value: readonly number[] }

export type Entries = Readonly<Record<string, Entry>>

export const count = (value: number): Entry => ({ kind: 'count', value })
export const real = (value: number): Entry => ({ kind: 'real', value })
export const flag = (value: boolean): Entry => ({ kind: 'flag', value })
export const text = (value: string): Entry => ({ kind: 'text', value })
export const texts = (value: readonly string[]): Entry => ({ kind: 'texts', value })
export const reals = (value: readonly number[]): Entry => ({ kind: 'reals', value })
export const integers = (value: readonly number[]): Entry => ({ kind: 'integers', value })
