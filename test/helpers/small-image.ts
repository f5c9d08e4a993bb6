import { copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeOciLayout } from './oci-layout.ts'
import { outputOf, runProgram } from './programs.ts'

/** Writes an image with busybox, its applets and the usual files of /etc as an OCI layout: about 2 MB, all commands work. */
export async function writeSmallImage(directory: string, tag = 'latest'): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'small-image-'))
  try {
    await writeTree(join(work, 'tree'))
    const tar = join(work, 'layer.tar')
    await runProgram('tar', [
      '--numeric-owner',
      '--owner=0',
      '--group=0',
      '--sort=name',
      '--mtime=@1700000000',
      '-C',
      join(work, 'tree'),
      '-cf',
      tar,
      '.',
    ])
    const run = { Cmd: ['sh'], Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'] }
    await writeOciLayout(directory, { tag, run, layers: [{ tar, compression: 'gzip' }] })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function writeTree(tree: string): Promise<void> {
  for (const path of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root', 'home', 'run', 'usr/bin', 'var/tmp'])
    await mkdir(join(tree, path), { recursive: true })
  const busybox = (
    await outputOf('sh', ['-c', 'command -v busybox'], { env: { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' } })
  ).trim()
  await copyFile(busybox, join(tree, 'bin/busybox'))
  const applets = (await outputOf(busybox, ['--list'])).split('\n').filter((name) => name && name !== 'busybox')
  for (const name of applets) await symlink('busybox', join(tree, 'bin', name))
  await writeFile(join(tree, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
  await writeFile(join(tree, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n')
  await writeFile(join(tree, 'etc/os-release'), 'ID=small\nNAME="small test image"\n')
}
