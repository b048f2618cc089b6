import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { chooseTargets, isTarget } from '../adapters/lora.ts'
import { UserError } from '../errors.ts'
import { formatBytes } from '../files.ts'
import { describeModel, localModel, parameterCount } from '../models/language-model.ts'
import { storedBytes } from '../models/memory.ts'
import { modelFiles } from '../models/model-files.ts'
import { embeddedModel } from '../tasks/embedded.ts'
import { storages } from '../tensor/ops/stored.ts'
import { parseTrainingConfig } from '../trainers/config.ts'
import { cachedSnapshots, cacheFolder, type Snapshot } from '../weights/hub/cache.ts'
import { ggufFiles } from '../weights/hub/choose-files.ts'
import { formatHubModel, parseHubModel } from '../weights/hub/model-id.ts'
import { MODEL_HELP, withExamples, withJson } from './options.ts'
import { downloadProgress } from './progress.ts'
import { PROGRAM, plainTable, printJson, type Terminal } from './terminal.ts'

type JsonOption = { json?: true }

export function defineModels(program: Command, terminal: Terminal): void {
  const models = program.command('models').description('the models on this machine, and those of the hub')
  withExamples(models, ['models list', 'models pull HuggingFaceTB/SmolLM2-135M', 'models show models/stories260K'])
  withExamples(
    withJson(
      models
        .command('list')
        .description('what is cached and what is given: size, architecture, and whether it can be used')
        .argument('[paths...]', 'folders or GGUF files besides those in the cache'),
    ),
    ['models list', 'models list ~/models/* --json'],
  ).action((paths: string[], options: JsonOption) => list(paths, options, terminal))
  withExamples(
    withJson(
      models
        .command('pull')
        .description('fetch a model of the hub, or its newest commit, into the cache')
        .argument('<model>', 'owner/name[@revision][:file.gguf]'),
    ),
    ['models pull HuggingFaceTB/SmolLM2-135M', 'models pull bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0'],
  ).action((name: string, options: JsonOption) => pull(name, options, terminal))
  withExamples(
    withJson(
      models
        .command('show')
        .description(
          'parameters, memory, context and adapter of a model; of one on the hub only config and tokenizer are fetched',
        )
        .argument('<model>', MODEL_HELP),
    ),
    ['models show models/stories260K', 'models show HuggingFaceTB/SmolLM2-135M --json'],
  ).action((name: string, options: JsonOption) => show(name, options, terminal))
}

type Listed = {
  /** What `--model` takes. */
  name: string
  commit: string | null
  path: string
  bytes: number
  architecture: string | null
  parameters: number | null
  /** Null where the model can be used. */
  problem: string | null
}

function list(paths: readonly string[], { json }: JsonOption, terminal: Terminal): void {
  const models = [...[embeddedModel, ...paths].flatMap(modelsAtPath), ...cachedSnapshots().flatMap(modelsInCache)]
  if (json) {
    printJson(terminal, models)
    return
  }
  const rows = models.map(({ name, commit, bytes, architecture, parameters, problem }) => [
    name,
    commit?.slice(0, 7) ?? '',
    formatBytes(bytes),
    architecture ?? '',
    parameters?.toLocaleString('en') ?? '',
    problem ?? 'yes',
  ])
  const heads = ['model', 'commit', 'size', 'architecture', 'parameters', 'usable']
  const table = plainTable([heads, ...rows], { colAligns: ['left', 'left', 'right', 'left', 'right', 'left'] })
  terminal.stdout.write(`${table}\nthe cache is ${cacheFolder()}\n`)
}

function modelsInCache({ id, commit, revisions, folder, files }: Snapshot): Listed[] {
  const revision = revisions.includes('main') ? 'main' : (revisions[0] ?? commit)
  return modelsAmong(files, folder, (file) => formatHubModel({ id, revision, file })).map((model) => ({
    ...model,
    commit,
  }))
}

function modelsAtPath(path: string): Listed[] {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory()
  return modelsAmong(isFolder ? readdirSync(path) : [], path, (file) => (file === undefined ? path : join(path, file)))
}

/** The model of a folder; where it has no config, each of its GGUF files is one. */
function modelsAmong(files: readonly string[], folder: string, nameOf: (file?: string) => string): Listed[] {
  const gguf = files.includes('config.json') ? [] : ggufFiles(files)
  return gguf.length > 0 ? gguf.map((file) => listed(nameOf(file), join(folder, file))) : [listed(nameOf(), folder)]
}

function listed(name: string, path: string): Listed {
  const unknown = { name, commit: null, path, bytes: bytesAt(path), architecture: null, parameters: null }
  try {
    const description = describeModel(path)
    const model = { ...unknown, architecture: description.modelType, parameters: parameterCount(description) }
    return { ...model, problem: partProblem(path) }
  } catch (error) {
    return { ...unknown, problem: problemIn(error) }
  }
}

/** What a model whose config can be read lacks otherwise. */
function partProblem(path: string): string | null {
  try {
    modelFiles(path).openWeights().close()
  } catch (error) {
    return problemIn(error)
  }
  const isFolder = statSync(path).isDirectory()
  return isFolder && !existsSync(join(path, 'tokenizer.json')) ? 'no tokenizer.json: only --tokens can be scored' : null
}

function problemIn(error: unknown): string {
  if (error instanceof UserError) return error.complaint.what
  throw error
}

function bytesAt(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found?.isDirectory()) return found?.size ?? 0
  const files = readdirSync(path).map((name) => statSync(join(path, name), { throwIfNoEntry: false }))
  return files.reduce((sum, file) => sum + (file?.isFile() ? file.size : 0), 0)
}

async function pull(name: string, { json }: JsonOption, terminal: Terminal): Promise<void> {
  if (parseHubModel(name) === undefined || existsSync(name))
    throw new UserError({
      what: existsSync(name) ? `${name} is here already` : `"${name}" is no model of the hub`,
      fix: 'name one as owner/name, owner/name@revision or owner/name:file.gguf',
    })
  const path = await localModel(name, { update: true, onProgress: downloadProgress(terminal.stderr) })
  const model = listed(name, path)
  if (json) return printJson(terminal, { name, path, bytes: model.bytes, problem: model.problem })
  const next = model.problem ?? `use it: ${PROGRAM} train --model ${name} --data FILE`
  terminal.stdout.write(`${path}: ${formatBytes(model.bytes)}\n${next}\n`)
}

async function show(name: string, { json }: JsonOption, terminal: Terminal): Promise<void> {
  const path = await localModel(name, { weights: false, onProgress: downloadProgress(terminal.stderr) })
  const description = describeModel(path)
  const { dimensions, modelType, linears, defaultTargets } = description
  const { rank, alpha, targets } = parseTrainingConfig({}, 'defaults').lora
  const lora = { rank, alpha, targets: chooseTargets(targets ?? defaultTargets, linears) }
  const adapted = linears.filter(({ module }) => isTarget(lora, module))
  const adapter = {
    rank,
    targets: lora.targets,
    layers: adapted.length,
    parameters: adapted.reduce((sum, { inputs, outputs }) => sum + rank * (inputs + outputs), 0),
  }
  const memory = Object.fromEntries(storages.map((storage) => [storage, Math.round(storedBytes(description, storage))]))
  const model = { name: modelFiles(path).name, path, architecture: modelType, parameters: parameterCount(description) }
  if (json) return printJson(terminal, { ...model, ...dimensions, memory, adapter })
  const count = (value: number) => value.toLocaleString('en')
  const { layers, width, heads, keyValueHeads, vocabulary, contextLength } = dimensions
  const rows = [
    ['model', model.name],
    ['architecture', `${modelType}: ${layers} layers × ${width}, ${heads} heads (${keyValueHeads} of keys and values)`],
    ['parameters', `${count(model.parameters)}, vocabulary ${count(vocabulary)}`],
    ['context', `${count(contextLength)} tokens`],
    [
      'weights in memory',
      Object.entries(memory)
        .map(([storage, bytes]) => `${storage} ${formatBytes(bytes)}`)
        .join(', '),
    ],
    ['LoRA targets', lora.targets.join(', ')],
    [`adapter of rank ${rank}`, `${count(adapter.parameters)} parameters, ${formatBytes(4 * adapter.parameters)}`],
    ['path', path],
  ]
  terminal.stdout.write(`${plainTable(rows, { colAligns: ['left', 'left'] })}\n`)
}
