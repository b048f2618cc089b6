/** @file Where optimised graphs are kept (graph-cache.ts). */
import { homedir } from 'node:os'
import { join } from 'node:path'

/** FLOWTUNE_GRAPH_CACHE, or in the user's cache folder; undefined where that is "off". */
export function graphCacheFolder(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const { FLOWTUNE_GRAPH_CACHE: given, XDG_CACHE_HOME: caches } = environment
  if (given) return given === 'off' ? undefined : given
  return join(caches || join(homedir(), '.cache'), 'flowtune', 'graphs')
}
