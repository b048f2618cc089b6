/** @file The contract of a runtime: load programs, run named inputs to named outputs, let go of everything. */
import type { DType, HostTensor, NamedTensors } from './host-tensor.ts'

/** A value that stays where programs run: weights, an adapter, cached keys and values. Its owner releases it. */
export type ResidentTensor = { readonly resident: number; readonly dtype: DType; readonly shape: readonly number[] }

/** Some rows of a resident tensor, from row `from` on. The tensor's owner releases them with it. */
export type ResidentRows = ResidentTensor & { readonly from: number }

/** The rows `from` to `to` of a tensor. */
export const rowsOf = ({ resident, dtype, shape }: ResidentTensor, from: number, to: number): ResidentRows => ({
  resident,
  dtype,
  shape: [to - from, ...shape.slice(1)],
  from,
})

/** What a run is given: memory of JavaScript, or what is where programs run. */
export type Given = Record<string, HostTensor | ResidentTensor | ResidentRows>

/** A compiled graph: bytes of an ONNX model and the types of its inputs. A name in a shape is a size known at a run. */
export type Program = {
  readonly name: string
  readonly bytes: Uint8Array
  readonly inputs: Record<string, { dtype: DType; shape: readonly (number | string)[] }>
  readonly outputs: readonly string[]
  /** Makes some of the inputs, which become part of the program when it is opened, so that the runtime can arrange them for its products once. */
  readonly constants?: Derivation
  /** Make some of the inputs. Who opens programs keeps them, for all that name the same. */
  readonly shared?: readonly Derivation[]
}

/** A program that computes, from what is bound, inputs of others. It is built where nobody has its outputs yet. */
export type Derivation = { readonly name: string; readonly outputs: readonly string[]; readonly build: () => Program }

/** A program that is ready to run. */
export type Session = {
  /**
   * Runs the program. Inputs that were bound when it was opened are not given again, and those that the program does
   * not read are left aside.
   * @param keep names of outputs that stay where the program runs
   * @param into outputs that are written where something is already, and their places
   * @throws Error where an input is missing, has another type, or two inputs disagree on a named size
   */
  run(inputs: Given, keep?: readonly string[], into?: Record<string, ResidentRows>): Promise<RunResult>
  dispose(): Promise<void>
}

export type RunResult = { outputs: NamedTensors; kept: Record<string, ResidentTensor> }

export type Runtime = {
  /** Brings tensors to where programs run: a copy, or with `move` the memory itself, which is then gone here. */
  upload(tensors: NamedTensors, options?: { move?: boolean }): Promise<Record<string, ResidentTensor>>
  /** Room for float32 arrays of these shapes, for programs to write to. What is not written takes no memory. */
  allocate(shapes: Record<string, readonly number[]>): Promise<Record<string, ResidentTensor>>
  release(tensors: Iterable<ResidentTensor>): Promise<void>
  /** Copies of tensors that are where programs run. */
  read(tensors: Record<string, ResidentTensor>): Promise<NamedTensors>
  /**
   * Runs a program once, of what is bound. All that it gives stays where programs run, its session does not.
   * @throws Error where an input is missing or has another type than the program declares
   */
  make(program: Program, bound: Record<string, ResidentTensor>): Promise<Record<string, ResidentTensor>>
  /**
   * Prepares a program; `bound` values are given at every run, `constants` become part of it and may then be released.
   * @throws Error where one of them has another type than the program declares
   */
  open(
    program: Program,
    bound?: Record<string, ResidentTensor>,
    constants?: Record<string, ResidentTensor>,
  ): Promise<Session>
  dispose(): Promise<void>
}

type Typed = { dtype: DType; shape: readonly number[] }

/** @throws Error naming the program and the input that does not fit its declared type. */
export function checkInputs(program: Pick<Program, 'name' | 'inputs'>, given: Record<string, Typed>): void {
  const sizes: Record<string, number> = {}
  const fail = (name: string, problem: string): never => {
    throw new Error(`${program.name}, input "${name}": ${problem}`)
  }
  const differs = (name: string, reason = '') => {
    const [value, { dtype, shape }] = [given[name], program.inputs[name]]
    fail(name, `${value.dtype} [${value.shape}] given, ${dtype} [${shape}] expected${reason}`)
  }
  for (const [name, { dtype, shape }] of Object.entries(program.inputs)) {
    const value = given[name]
    if (!value) fail(name, 'missing')
    if (value.dtype !== dtype || value.shape.length !== shape.length) differs(name)
    for (const [axis, dim] of shape.entries()) {
      const extent = value.shape[axis]
      const isName = typeof dim === 'string' && /^\w+$/.test(dim)
      if (isName && !(dim in sizes)) sizes[dim] = extent
      const expected = isName ? sizes[dim] : dim // sums and products of names are the runtime's to check
      if (typeof expected === 'number' && extent !== expected) differs(name, ` (${dim} = ${expected})`)
    }
  }
}
