import type { Command } from 'commander'
import { Option } from 'commander'
import { UserError } from '../errors.ts'
import { checkExport, type Exporter, exportPolicy } from '../export/export-policy.ts'
import { type GgufType, ggufExporter, ggufTypes } from '../export/gguf.ts'
import type { Texts } from '../export/held-out.ts'
import { mergedExporter } from '../export/merged.ts'
import { onnxExporter, onnxReaders } from '../export/onnx.ts'
import { type OnnxDtype, onnxDtypes } from '../export/onnx-weights.ts'
import { peftExporter } from '../export/peft.ts'
import type { Policy } from '../export/policy.ts'
import type { Verification } from '../export/verify.ts'
import { describeModel, type LoadOptions, localModel } from '../models/language-model.ts'
import { loadAdapter } from '../models/load-adapter.ts'
import { modelFiles } from '../models/model-files.ts'
import { heldOutTexts } from '../tasks/held-out-texts.ts'
import { latestAdapter, openRun } from '../tasks/task-run.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { type CommonOptions, withCommonOptions, withExamples } from './options.ts'
import { downloadProgress } from './progress.ts'
import { printJson, type Terminal } from './terminal.ts'

type ExportOptions = CommonOptions &
  Pick<LoadOptions, 'onDownload'> & {
    merged?: string
    gguf?: string
    type: GgufType
    onnx?: string
    peft?: string
    dtype: OnnxDtype
    reader: (typeof onnxReaders)[number]
    model?: string
    adapter?: string
    text?: string[]
  }

export function defineExport(program: Command, terminal: Terminal): void {
  const several = (text: string, before: string[] = []) => [...before, text]
  withExamples(
    withCommonOptions(
      program
        .command('export')
        .description(
          'write the policy of a run in a form that other software reads; it is read back, and kept only if it says the same of held-out text',
        )
        .argument('[run]', 'the run folder whose adapter to use')
        .option('--merged <folder>', 'safetensors in the layout of the model, with the adapter folded in')
        .option('--gguf <file>', 'one GGUF file for llama.cpp, with the adapter folded in')
        .addOption(new Option('--type <type>', 'of the matrices, with --gguf').choices(ggufTypes).default('f16'))
        .option('--onnx <folder>', 'ONNX for transformers.js, in Node and in browsers, with the adapter folded in')
        .option('--peft <folder>', 'the adapter alone, as Python’s PEFT has it')
        .addOption(new Option('--dtype <type>', 'of the weights, with --onnx').choices(onnxDtypes).default('fp32'))
        .addOption(
          new Option('--reader <software>', 'what verifies --onnx; transformers.js must be installed beside flowtune')
            .choices(onnxReaders)
            .default('transformers.js'),
        )
        .option('--model <model>', 'a model without a run, or where the model of the run is now')
        .option('--adapter <folder>', 'a PEFT folder to use')
        .option(
          '--text <text>',
          'a text to compare on (default: held-out prompts of the run with samples); may be repeated',
          several,
        ),
    ),
    [
      'export runs/infilling-1 --merged stories-infilling',
      'export runs/infilling-1 --gguf stories-infilling.gguf --type q8_0',
      'export runs/infilling-1 --onnx stories-infilling-web --dtype q8',
      'export --model models/stories260K --adapter my-adapter --merged out --text "Once upon a time, there was a dog."',
    ],
  ).action((folder: string | undefined, options: ExportOptions) =>
    exportRun(folder, { ...options, onDownload: downloadProgress(terminal.stderr) }, terminal),
  )
}

async function exportRun(run: string | undefined, options: ExportOptions, terminal: Terminal): Promise<void> {
  const { form, exporter, path } = formOf(options)
  const check = (policy: Policy) => checkExport(policy, exporter, path)
  const { policy, texts } = run === undefined ? await chosenModel(options) : await chosenRun(run, options, check)
  const onProgress = (doing: string) => void terminal.stderr.write(`${doing}\n`)
  const verification = await exportPolicy(policy, exporter, { path, texts, threads: options.threads, onProgress })
  if (options.json) printJson(terminal, { form, path, ...verification })
  else terminal.stdout.write(`${summary(path, verification)}\n`)
}

/** @throws UserError unless exactly one form is asked for */
function formOf({ merged, gguf, type, onnx, peft, dtype, reader }: ExportOptions) {
  const forms: { form: string; exporter: Exporter; path?: string }[] = [
    { form: 'merged', exporter: mergedExporter, path: merged },
    { form: 'gguf', exporter: ggufExporter({ type }), path: gguf },
    { form: 'onnx', exporter: onnxExporter({ dtype, reader }), path: onnx },
    { form: 'peft', exporter: peftExporter, path: peft },
  ]
  const chosen = forms.flatMap(({ path, ...form }) => (path === undefined ? [] : [{ ...form, path }]))
  if (chosen.length === 1) return chosen[0]
  throw new UserError({
    what: chosen.length === 0 ? 'it is not said what to write' : 'one form at a time',
    fix: `give one of ${forms.map(({ form }) => `--${form}`).join(', ')}`,
  })
}

type Chosen = { policy: Policy; texts: Texts }

async function chosenRun(
  folder: string,
  { adapter: other, text, ...load }: ExportOptions,
  check: (policy: Policy) => Promise<void>,
): Promise<Chosen> {
  const run = await openRun(folder, load)
  try {
    const { path, description, tokenizer } = run.model
    const adapter = other === undefined ? latestAdapter(run) : loadAdapter(other, description)
    const policy = { path, description: describeModel(path), adapter }
    await check(policy) // before sampling, which takes its time
    return { policy, texts: text ? tokensOf(text, tokenizer) : await heldOutTexts(run, adapter) }
  } finally {
    await run.model.dispose()
  }
}

async function chosenModel({ model, adapter, text, onDownload }: ExportOptions): Promise<Chosen> {
  if (model === undefined)
    throw new UserError({ what: 'there is nothing to export', fix: 'name a run, or a model with --model' })
  if (text === undefined)
    throw new UserError({ what: 'a model without a run has no held-out text', fix: 'give one with --text "…"' })
  const path = await localModel(model, { onProgress: onDownload })
  const description = describeModel(path)
  const texts = tokensOf(text, await modelFiles(path).tokenizer())
  return { policy: { path, description, ...(adapter && { adapter: loadAdapter(adapter, description) }) }, texts }
}

const tokensOf = (texts: readonly string[], tokenizer: Tokenizer) =>
  texts.map((text) => tokenizer.encode(text, { addSpecialTokens: true }))

function summary(path: string, { texts, tokens, difference, allowed, tensors, worstTensor }: Verification): string {
  const nats = `${difference.toExponential(1)} nats, where ${allowed} are allowed`
  const rounding = worstTensor ? `; rounding shows most in ${worstTensor.name}` : ''
  return [
    `${path} is written, read back and compared:`,
    `  ${tensors} tensors are those of the policy${rounding}`,
    `  log-probabilities of ${tokens} tokens in ${texts} texts differ by at most ${nats}`,
  ].join('\n')
}
