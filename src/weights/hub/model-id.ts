/** @file How a model on the hub is named: `owner/name`, `owner/name@revision`, and `…:FILE` for one GGUF file of it. */

/** A model on the hub. */
export type HubModel = {
  /** owner/name */
  id: string
  /** A branch, a tag, or a commit of forty hexadecimal digits. */
  revision: string
  /** The name of a GGUF file, or a part of one that tells it from its neighbours (Q4_K_M); absent for safetensors. */
  file?: string
}

const DEFAULT_REVISION = 'main'

/** Names begin with no dot or hyphen, so that none leads out of a folder. */
const NAME = String.raw`\w[\w.-]*`
const FORM = new RegExp(`^(?<id>${NAME}/${NAME})(?:@(?<revision>${NAME}(?:/${NAME})*))?(?::(?<file>${NAME}))?$`)

/** The model of an id; undefined for a text of another form. */
export function parseHubModel(text: string): HubModel | undefined {
  const { id, revision = DEFAULT_REVISION, file } = FORM.exec(text)?.groups ?? {}
  return id === undefined ? undefined : { id, revision, file }
}

/** Is a revision a commit, whose content never changes? */
export const isCommit = (revision: string) => /^[0-9a-f]{40}$/.test(revision)

/** The id as a user types it. */
export const formatHubModel = ({ id, revision, file }: HubModel) =>
  `${id}${revision === DEFAULT_REVISION ? '' : `@${revision}`}${file === undefined ? '' : `:${file}`}`
