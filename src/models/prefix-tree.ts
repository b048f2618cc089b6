/**
 * @file The layout for learning and scoring: a tree of three storeys. The prompt; the latents as one prefix tree, in which
 * each distinct prefix is one token; branches (a fixed ending, a label) that follow any prefix. A latent is a chain: the
 * tokens that no earlier latent has, after the path that it shares. Chains are cut into rows for attention's grid.
 */
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { int64 } from '../runtime/host-tensor.ts'
import { packRows, vector } from './packing.ts'

/** Tokens that continue one latent after its first `prefix` tokens. */
export type Branch = { latent: number; prefix: number; tokens: readonly number[] }

/** A prompt, latents that follow it, and branches that follow prefixes of the latents. */
export type Tree = {
  prompt: readonly number[]
  latents: readonly (readonly number[])[]
  branches?: readonly Branch[]
}

export type PackedTree = {
  inputs: NamedTensors
  /** Packed index of token i of latent n, one for all latents that share it; for i = −1 that of the prompt's last. */
  latentToken: (latent: number, i: number) => number
  /** Packed index of token i of branch b; for i = −1 that of the token which the branch follows. */
  branchToken: (branch: number, i: number) => number
}

type TreeNode = { index: number; children: Map<number, TreeNode> }
/** Tokens side by side in the tree, after the packed latent tokens that lead to them. */
type Chain = { tokens: readonly number[]; path: readonly number[] }

/** Lays out a tree; the tokens of the latents are numbered in the order in which they are first met. */
export function packTree({ prompt, latents, branches = [] }: Tree): PackedTree {
  const { chains, paths, size } = mergePrefixes(latents)
  if (size === 0) chains.push({ tokens: [prompt[0]], path: [] }) // a stand-in: a grid needs a token to pad with
  const start = prompt.length
  const rows = cutIntoRows(chains, start)
  const grid = packRows(rows.map(({ tokens }) => tokens))
  const latentToken = (latent: number, i: number) => (i < 0 ? start - 1 : start + paths[latent][i])
  const inputs: NamedTensors = {
    promptTokens: vector(prompt),
    latentTokens: vector(rows.flatMap(({ tokens }) => tokens)),
    latentPositions: vector(rows.flatMap(({ tokens, path }) => tokens.map((_, i) => start + path.length + i))),
    latentRows: grid.rows,
    latentPlaces: grid.places,
    latentContext: paddedRows(rows.map(({ path }) => path)),
  }
  const branchStart = start + Math.max(1, size)
  const branchGrid = packRows(branches.map(({ tokens }) => tokens))
  const branchToken = (branch: number, i: number) =>
    i < 0
      ? latentToken(branches[branch].latent, branches[branch].prefix - 1)
      : branchStart + branchGrid.first[branch] + i
  if (branches.length === 0) return { inputs, latentToken, branchToken }
  return {
    inputs: {
      ...inputs,
      branchTokens: vector(branches.flatMap(({ tokens }) => tokens)),
      branchPositions: vector(branches.flatMap(({ prefix, tokens }) => tokens.map((_, i) => start + prefix + i))),
      branchRows: branchGrid.rows,
      branchPlaces: branchGrid.places,
      branchContext: paddedRows(branches.map(({ latent, prefix }) => paths[latent].slice(0, prefix))),
    },
    latentToken,
    branchToken,
  }
}

/** The latents as a prefix tree: its chains, the path of each latent through it, and the number of its tokens. */
function mergePrefixes(latents: Tree['latents']): { chains: Chain[]; paths: number[][]; size: number } {
  const root: TreeNode = { index: -1, children: new Map() }
  const chains: Chain[] = []
  let size = 0
  const paths = latents.map((latent) => {
    const path: number[] = []
    const known = size
    let node = root
    for (const token of latent) {
      let child = node.children.get(token)
      if (!child) {
        child = { index: size++, children: new Map() }
        node.children.set(token, child)
      }
      path.push(child.index)
      node = child
    }
    const shared = latent.length - (size - known)
    if (size > known) chains.push({ tokens: latent.slice(shared), path: path.slice(0, shared) })
    return path
  })
  return { chains, paths, size }
}

/** What copying the keys and values of one token into the grid costs, in pairs of tokens that attend to each other. */
const COPY = 32

/**
 * Cuts chains where they are longer than a length. Rows are padded to the longest, and what they follow to the longest of that: short
 * rows waste fewer places, and long ones copy less of what they follow. The length is that of the least counted work.
 */
function cutIntoRows(chains: readonly Chain[], prompt: number): Chain[] {
  const cut = (length: number) =>
    chains.flatMap(({ tokens, path }) =>
      Array.from({ length: Math.ceil(tokens.length / length) }, (_, k) => ({ tokens, path, from: k * length })),
    )
  const work = (length: number) => {
    const rows = cut(length)
    const keys = length + Math.max(...rows.map(({ path, from }) => path.length + from))
    return rows.length * (length * (prompt + keys) + COPY * keys)
  }
  const longest = Math.max(...chains.map(({ tokens }) => tokens.length))
  const lengths = Array.from({ length: longest }, (_, k) => longest - k)
  const works = lengths.map(work)
  const length = lengths[works.indexOf(Math.min(...works))]
  // The tokens of a chain are numbered one after another, from what follows its path.
  let first = 0
  return cut(length).map(({ tokens, path, from }) => {
    const own = tokens.slice(from, from + length)
    const before = Array.from({ length: from }, (_, i) => first - from + i)
    first += own.length
    return { tokens: own, path: [...path, ...before] }
  })
}

/** Rows of unequal length side by side, −1 after the end of each. */
function paddedRows(rows: readonly (readonly number[])[]) {
  const length = Math.max(1, ...rows.map((row) => row.length))
  const cells = rows.flatMap((row) => Array.from({ length }, (_, i) => row[i] ?? -1))
  return int64([rows.length, length], cells)
}
