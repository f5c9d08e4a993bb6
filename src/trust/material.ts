import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { errorCode, errorMessage, PodlibError } from '../errors/errors.ts'
import type { Material } from './policy.ts'

const MAX_MATERIAL_BYTES = 4 << 20

/** Reads a regular file of at most `maxBytes`. Not blocking: a FIFO in its place must not stop us. */
export async function readSmallFile(path: string, maxBytes: number, signal?: AbortSignal): Promise<Buffer> {
  signal?.throwIfAborted()
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw unreadable(path, 'is not a regular file')
    if (stat.size > maxBytes) throw unreadable(path, `is larger than ${maxBytes} bytes`)
    const bytes = Buffer.alloc(stat.size + 1)
    let length = 0
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length)
      if (bytesRead === 0) return bytes.subarray(0, length)
      length += bytesRead
    }
    throw unreadable(path, 'grew while it was read')
  } finally {
    await file.close()
  }
}

function unreadable(path: string, why: string): PodlibError {
  return new PodlibError('ERR_INVALID_ARGUMENT', `${path} ${why}`, { details: { path } })
}

/** The bytes of key material that a policy names. A file that is gone makes the policy unusable, not the image unsigned. */
export async function readMaterial(material: Material, signal?: AbortSignal): Promise<Buffer> {
  if ('data' in material) return material.data
  try {
    return await readSmallFile(material.path, MAX_MATERIAL_BYTES, signal)
  } catch (error) {
    signal?.throwIfAborted()
    throw unusable(material, `cannot be read: ${errorMessage(error)}`, error)
  }
}

/** The error for key material that is not what the policy takes it for. */
export function unusable(material: Material, why: string, cause?: unknown): PodlibError {
  const name = 'path' in material ? material.path : 'the inline data'
  return new PodlibError('ERR_POLICY_INVALID', `the signature policy relies on ${name}, which ${why}`, {
    details: { material: name, ...(errorCode(cause) !== undefined && { systemCode: errorCode(cause) }) },
    ...(cause !== undefined && { cause }),
  })
}
