/** @file How many threads this machine really grants. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * Cores that this process may use: those that the scheduler allows, and no more than a container's quota of processor
 * time, which the scheduler's answer does not show.
 */
export function grantedCores(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(quotaOfCores())))
}

/** Processor seconds a second that control groups grant (version 2, then 1); infinite where there is no limit. */
function quotaOfCores(): number {
  const read = (path: string) => {
    try {
      return readFileSync(path, 'utf8').trim()
    } catch {
      return undefined
    }
  }
  const [quota, period] =
    read('/sys/fs/cgroup/cpu.max')?.split(' ') ??
    ['cpu.cfs_quota_us', 'cpu.cfs_period_us'].map((file) => read(`/sys/fs/cgroup/cpu/${file}`))
  return Number(quota) > 0 && Number(period) > 0 ? Number(quota) / Number(period) : Number.POSITIVE_INFINITY
}
