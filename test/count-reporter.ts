/** @file Ends a test run with one line that any machine can read: how many passed, failed and were skipped. */
import type { Reporter, TestModule } from 'vitest/node'

export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]) {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 }
    let broken = 0
    for (const module of modules) {
      const tests = [...module.children.allTests()]
      for (const test of tests) counts[test.result().state]++
      if (
        tests.length === 0 ||
        (module.state() === 'failed' && tests.every((test) => test.result().state !== 'failed'))
      )
        broken++ // a file that did not load
    }
    const skipped = counts.skipped + counts.pending
    console.log(`\n${counts.passed} passed, ${counts.failed + broken} failed${skipped ? `, ${skipped} skipped` : ''}`)
  }
}
