import { JOBS } from '../host/jobs/all.ts'
import { serveJobs } from '../host/worker-server.ts'

// Files and directories that jobs create get the modes that they ask for, whatever the application's umask.
process.umask(0o022)
process.title = 'podlib-worker'
serveJobs(JOBS)
