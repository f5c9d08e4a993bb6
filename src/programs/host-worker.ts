import { WORKER_NAME, WORKER_PARENT } from '../host/abandoned-workers.ts'
import { JOBS } from '../host/jobs/all.ts'
import { closeOnExecFrom } from '../host/sys/libc.ts'
import { serveJobs } from '../host/worker-server.ts'

// Files and directories that jobs create get the modes that they ask for, whatever the application's umask.
process.umask(0o022)
// Nothing that the application had open reaches a container's runtime (CVE-2024-21626).
closeOnExecFrom(3)
process.title = WORKER_NAME
serveJobs(JOBS, { parent: Number(process.env[WORKER_PARENT]) })
