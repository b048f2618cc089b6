/**
 * @file The layout for learning and scoring: a tree of three storeys. The prompt; the latents as one prefix tree, in which
 * each distinct prefix is one token; branches (a fixed ending, a label) that follow any prefix. The tree is taken apart into
 * chains, from a token to its first child and on to the end, and chains are cut into rows for attention's grid.
 */
import type { NamedTensors } from '../runtime/host-tensor.ts'
import { int64 } from '../runtime/host-tensor.ts'
import { gridOf, packRows, vector } from './packing.ts'

/** Tokens that continue one latent after its first `prefix` tokens. */
export type Branch = { latent: number; prefix: number; tokens: readonly number[] }

/** A token that was read, and after which other one: its number in the order of reading, or −1 after the prompt. */
export type ReadToken = { token: number; parent: number }

/** A prompt, latents that follow it, and branches that follow prefixes of the latents. */
export type Tree = {
  prompt: readonly number[]
  latents: readonly (readonly number[])[]
  /** Tokens of the latents that come first, in this order; any that no latent has are there all the same. */
  read?: readonly ReadToken[]
  branches?: readonly Branch[]
}

export type PackedTree = {
  inputs: NamedTensors
  /** Packed index of token i of latent n, one for all latents that share it; for i = −1 that of the prompt's last. */
  latentToken: (latent: number, i: number) => number
  /** Packed index of token i of branch b; for i = −1 that of the token which the branch follows. */
  branchToken: (branch: number, i: number) => number
}

/** A packed latent token; only the root, which is none, has no parent. `depth`: tokens before it. */
type TreeNode = { index: number; token: number; depth: number; parent?: TreeNode; children: Map<number, TreeNode> }
/** Packed latent tokens side by side in the tree, and those that lead to them. */
type Chain = { tokens: readonly number[]; path: readonly number[] }

/** Lays out a tree; the tokens of the latents are numbered in the order in which they are first met. */
export function packTree({ prompt, latents, read = [], branches = [] }: Tree): PackedTree {
  const { nodes, paths } = mergePrefixes(latents, read)
  if (nodes.length === 0) nodes.push({ index: 0, token: prompt[0], depth: 0, children: new Map() }) // a stand-in: a grid needs a token to pad with
  const start = prompt.length
  const rows = cutIntoRows(chainsOf(nodes), start)
  const grid = gridOf(rows.map(({ tokens }) => tokens))
  const latentToken = (latent: number, i: number) => (i < 0 ? start - 1 : start + paths[latent][i])
  const inputs: NamedTensors = {
    promptTokens: vector(prompt),
    latentTokens: vector(nodes.map(({ token }) => token)),
    latentPositions: vector(nodes.map(({ depth }) => start + depth)),
    latentRows: grid.rows,
    latentPlaces: grid.places,
    latentContext: paddedRows(rows.map(({ path }) => path)),
  }
  const branchStart = start + nodes.length
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

/** The latents as a prefix tree: its tokens by their numbers, and the path of each latent through it. */
function mergePrefixes(latents: Tree['latents'], read: readonly ReadToken[]) {
  const nodes: TreeNode[] = []
  const root: TreeNode = { index: -1, token: -1, depth: -1, children: new Map() }
  const add = (parent: TreeNode, token: number) => {
    const node = { index: nodes.length, token, depth: parent.depth + 1, parent, children: new Map() }
    nodes.push(node)
    if (!parent.children.has(token)) parent.children.set(token, node) // else it was read twice, and the first is everybody's
    return node
  }
  for (const { token, parent } of read) add(parent < 0 ? root : nodes[parent], token)
  const paths = latents.map((latent) => {
    let node = root
    return latent.map((token) => {
      node = node.children.get(token) ?? add(node, token)
      return node.index
    })
  })
  return { nodes, paths }
}

/** The packed tokens before one, from the first on. */
function pathTo({ parent }: TreeNode): number[] {
  const path: number[] = []
  for (let node = parent; node?.parent; node = node.parent) path.push(node.index)
  return path.reverse()
}

/** Each token once, parents before children. */
function chainsOf(nodes: readonly TreeNode[]): Chain[] {
  const isThere = new Set<number>()
  return nodes.flatMap((first) => {
    if (isThere.has(first.index)) return []
    const tokens: number[] = []
    for (let node: TreeNode | undefined = first; node; node = node.children.values().next().value) {
      isThere.add(node.index)
      tokens.push(node.index)
    }
    return [{ tokens, path: pathTo(first) }]
  })
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
  return cut(length).map(({ tokens, path, from }) => ({
    tokens: tokens.slice(from, from + length),
    path: [...path, ...tokens.slice(0, from)],
  }))
}

/** Rows of unequal length side by side, −1 after the end of each. */
function paddedRows(rows: readonly (readonly number[])[]) {
  const length = Math.max(1, ...rows.map((row) => row.length))
  const cells = rows.flatMap((row) => Array.from({ length }, (_, i) => row[i] ?? -1))
  return int64([rows.length, length], cells)
}
