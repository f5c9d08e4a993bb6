import { PodlibError } from '../errors/errors.ts'
import type { LogDriver } from './log-driver.ts'

/** Keeps nothing. */
export const noLog: LogDriver = {
  name: 'none',
  monitorArguments: () => ['--log-path', 'none'],
  read() {
    throw new PodlibError('ERR_CONTAINER_NO_LOGS', 'cannot read the log: the container keeps none (log driver none)')
  },
  remove() {},
}
