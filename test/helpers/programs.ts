import { execFile, type SpawnOptions, spawn } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Standard output of a program that must succeed. Its error has the program's standard error in the message. */
export async function outputOf(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<string> {
  const { stdout } = await execute(program, [...args], { maxBuffer: 1 << 28, ...options })
  return stdout
}

/** Runs a program that must succeed, its output thrown away, its standard error kept for the message of the failure. */
export function runProgram(program: string, args: readonly string[], options: SpawnOptions = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { ...options, stdio: ['ignore', 'ignore', 'pipe'] })
    let stderr = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-4096)
    })
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`${program} ${args.join(' ')}: ${signal ?? `exit code ${code}`}\n${stderr}`))
    })
  })
}
