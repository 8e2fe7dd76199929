/**
 * Ends this process when the npm that started it has ended. npm stands on a shell that does not pass signals on, so
 * whoever stops `npm start` by its process id (a service manager, a container, a script) would leave the host behind.
 */

const CHECK_INTERVAL_MS = 1_000

/** Does nothing unless npm or npx started us. Asks by SIGTERM, as they would; on Windows a parent is never seen to end. */
export function endWithNpm(env: NodeJS.ProcessEnv = process.env): void {
  if (env.npm_lifecycle_event === undefined) return
  const parentPid = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parentPid) return
    clearInterval(timer)
    process.kill(process.pid, 'SIGTERM')
  }, CHECK_INTERVAL_MS)
  timer.unref()
}
