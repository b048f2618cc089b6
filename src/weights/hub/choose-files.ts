/** @file Which files of a repository make a model: those of a model folder, or one GGUF file. */
import { UserError } from '../../errors.ts'
import { nearestName } from '../../nearest-name.ts'
import { formatHubModel, type HubModel } from './model-id.ts'

export const WEIGHTS_FILE = 'model.safetensors'
export const INDEX_FILE = 'model.safetensors.index.json'

const SMALL_FILES = [
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
]

/** What to fetch, in this order: small files first, so that a model that cannot be used is refused before its weights. */
export type FileChoice = {
  small: readonly string[]
  /** `index`: the shards that this one lists. */
  weights: { file: string } | { index: string }
  /** The one file that is the whole model, where it is GGUF. */
  gguf?: string
}

/**
 * Chooses among a repository's files.
 * @throws UserError where it has no weights that can be read, naming those that it has
 */
export function chooseFiles(model: HubModel, names: readonly string[]): FileChoice {
  if (model.file !== undefined) return ggufChoice(ggufNamed(model, names))
  const small = SMALL_FILES.filter((name) => names.includes(name))
  if (names.includes(INDEX_FILE)) return { small: [...small, INDEX_FILE], weights: { index: INDEX_FILE } }
  if (names.includes(WEIGHTS_FILE)) return { small, weights: { file: WEIGHTS_FILE } }
  const gguf = ggufFiles(names)
  if (gguf.length === 1) return ggufChoice(gguf[0])
  if (gguf.length > 1) throw chooseOne(model, 'this repository holds several GGUF files', gguf)
  throw noWeights(model, names)
}

const ggufChoice = (gguf: string): FileChoice => ({ small: [], weights: { file: gguf }, gguf })

/** Language models in GGUF; projectors of pictures ("mmproj-…") and importance matrices are none. */
export const ggufFiles = (names: readonly string[]) =>
  names.filter((name) => /\.gguf$/i.test(name) && !/^mmproj|imatrix/i.test(name))

/** The GGUF file of that name, or the one whose name has that part: `Q4_K_M` means smollm2-Q4_K_M.gguf. */
function ggufNamed(model: HubModel, names: readonly string[]): string {
  const wanted = model.file!
  if (names.includes(wanted)) return refuseSplit(model, wanted)
  const gguf = ggufFiles(names)
  const stem = (name: string) => `-${name.toLowerCase().replace(/\.gguf$/, '')}-`
  const between = new RegExp(`[-.]${wanted.toLowerCase().replaceAll('.', String.raw`\.`)}[-.]`)
  const matching = gguf.filter((name) => between.test(stem(name)))
  if (matching.length === 1) return refuseSplit(model, matching[0])
  if (gguf.length === 0)
    throw new UserError({
      what: 'there is no GGUF file in this repository',
      where: model.id,
      fix: 'leave out the part after the colon',
    })
  const problem = matching.length === 0 ? 'is no GGUF file' : 'may be one of several files'
  throw chooseOne(model, `"${wanted}" ${problem} of this repository`, matching.length === 0 ? gguf : matching, wanted)
}

function refuseSplit(model: HubModel, name: string): string {
  if (!/-\d{5}-of-\d{5}\.gguf$/i.test(name)) return name
  throw new UserError({
    what: `${name} is one part of a split GGUF file, which cannot be read`,
    where: model.id,
    fix: 'choose a file that is whole, or join the parts with gguf-split --merge and give the result',
  })
}

function chooseOne(model: HubModel, what: string, files: readonly string[], wanted = ''): UserError {
  const nearest = nearestName(wanted, files) ?? files[0]
  return new UserError({
    what: `${what}: ${files.join(', ')}`,
    where: model.id,
    fix: `name one, as in ${formatHubModel({ ...model, file: nearest })}`,
  })
}

function noWeights(model: HubModel, names: readonly string[]): UserError {
  const pickle = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name))
  if (pickle !== undefined)
    return new UserError({
      what: `its weights are a pickle (${pickle}), which can run any program when it is read`,
      where: model.id,
      fix: `use a revision with safetensors, or convert it once in Python: transformers.AutoModelForCausalLM.from_pretrained("${model.id}").save_pretrained("DIR"), the same with AutoTokenizer, and give DIR`,
    })
  return new UserError({
    what: `there are no weights in this repository: it holds ${names.slice(0, 12).join(', ') || 'nothing'}`,
    where: model.id,
    fix: `use one with ${WEIGHTS_FILE}, its shards, or a GGUF file`,
  })
}
