/**
 * What kind of thing went wrong, independent of the object it happened to. Callers that only want to
 * choose between "tell the user", "try again" and "give up" switch on this.
 *
 * @public
 */
export type PodlibErrorKind =
  | 'not-found'
  | 'already-exists'
  | 'invalid-argument'
  | 'invalid-state'
  | 'in-use'
  | 'denied'
  | 'unavailable'
  | 'unsupported'
  | 'timeout'
  | 'internal'

/**
 * Every error code of podlib with its kind. Codes are part of the public API and stay stable across
 * minor versions.
 *
 * @public
 */
export const ERROR_KINDS = {
  // the library itself
  ERR_INVALID_ARGUMENT: 'invalid-argument',
  ERR_OPTION_UNSUPPORTED: 'unsupported',
  ERR_UNSUPPORTED_PLATFORM: 'unsupported',
  ERR_UNSUPPORTED_NODE: 'unsupported',
  ERR_RUNTIME_CLOSED: 'invalid-state',
  ERR_CONFIG_INVALID: 'invalid-argument',
  ERR_INTERNAL: 'internal',
  ERR_TIMEOUT: 'timeout',
  // store, state database, locks
  ERR_STORE_UNREADABLE: 'unavailable',
  ERR_STORE_VERSION: 'unsupported',
  ERR_STORE_UNSUPPORTED: 'unsupported',
  ERR_STORE_IN_USE: 'in-use',
  ERR_STORE_CORRUPT: 'internal',
  ERR_NO_SPACE: 'unavailable',
  ERR_SYNC_FAILED: 'unavailable',
  ERR_LOCK_TIMEOUT: 'timeout',
  // host and helper programs
  ERR_HOST_WORKER_DIED: 'unavailable',
  ERR_PROGRAM_MISSING: 'unavailable',
  ERR_PROGRAM_FAILED: 'internal',
  ERR_PERMISSION: 'denied',
  ERR_ROOTLESS_SETUP: 'unavailable',
  ERR_MOUNT_FAILED: 'unavailable',
  ERR_ID_MAPPING_UNSUPPORTED: 'unsupported',
  ERR_CGROUP: 'unavailable',
  // names, digests, documents
  ERR_INVALID_REFERENCE: 'invalid-argument',
  ERR_INVALID_DIGEST: 'invalid-argument',
  ERR_DIGEST_MISMATCH: 'denied',
  ERR_SIZE_MISMATCH: 'denied',
  ERR_MANIFEST_INVALID: 'invalid-argument',
  ERR_MANIFEST_UNSUPPORTED: 'unsupported',
  ERR_IMAGE_CONFIG_INVALID: 'invalid-argument',
  ERR_NOT_AN_IMAGE: 'unsupported',
  ERR_PLATFORM_MISMATCH: 'unsupported',
  ERR_LAYER_INVALID: 'invalid-argument',
  ERR_LAYER_TOO_LARGE: 'denied',
  ERR_LAYER_ENCRYPTED: 'unsupported',
  ERR_COMPRESSION_INVALID: 'invalid-argument',
  ERR_COMPRESSION_UNSUPPORTED: 'unsupported',
  ERR_ARCHIVE_INVALID: 'invalid-argument',
  ERR_ARCHIVE_TOO_LARGE: 'denied',
  ERR_TRANSPORT: 'invalid-argument',
  ERR_DOCKER_DAEMON: 'unavailable',
  // registries
  ERR_REGISTRY_UNREACHABLE: 'unavailable',
  ERR_REGISTRY_TLS: 'denied',
  ERR_REGISTRY_UNAUTHORIZED: 'denied',
  ERR_REGISTRY_DENIED: 'denied',
  ERR_REGISTRY_RATE_LIMITED: 'unavailable',
  ERR_REGISTRY_PROTOCOL: 'internal',
  ERR_REGISTRY_BLOCKED: 'denied',
  ERR_REGISTRY_SERVER: 'unavailable',
  ERR_REGISTRY_UNSUPPORTED: 'unsupported',
  ERR_SEARCH_FAILED: 'unavailable',
  ERR_REGISTRY_BODY_TOO_LARGE: 'denied',
  ERR_CREDENTIALS: 'denied',
  ERR_MANIFEST_NOT_FOUND: 'not-found',
  ERR_BLOB_NOT_FOUND: 'not-found',
  ERR_REPOSITORY_NOT_FOUND: 'not-found',
  ERR_SHORT_NAME: 'invalid-argument',
  // trust
  ERR_POLICY_MISSING: 'unavailable',
  ERR_POLICY_INVALID: 'invalid-argument',
  ERR_TRUST_DENIED: 'denied',
  ERR_SIGNATURE_DESTINATION: 'unsupported',
  // objects
  ERR_IMAGE_NOT_FOUND: 'not-found',
  ERR_IMAGE_AMBIGUOUS: 'invalid-argument',
  ERR_IMAGE_IN_USE: 'in-use',
  ERR_IMAGE_NAME_EXISTS: 'already-exists',
  ERR_IMAGE_READ_ONLY: 'unsupported',
  ERR_BUILD_FAILED: 'internal',
  ERR_CONTAINERFILE_NOT_FOUND: 'not-found',
  ERR_CONTAINERFILE_INVALID: 'invalid-argument',
  ERR_LAYER_NOT_FOUND: 'not-found',
  ERR_LAYER_IN_USE: 'in-use',
  ERR_CONTAINER_NOT_FOUND: 'not-found',
  ERR_CONTAINER_AMBIGUOUS: 'invalid-argument',
  ERR_CONTAINER_EXISTS: 'already-exists',
  ERR_CONTAINER_STATE: 'invalid-state',
  ERR_CONTAINER_RUNNING: 'invalid-state',
  ERR_CONTAINER_IN_USE: 'in-use',
  ERR_CONTAINER_NO_LOGS: 'unsupported',
  ERR_POD_NOT_FOUND: 'not-found',
  ERR_POD_AMBIGUOUS: 'invalid-argument',
  ERR_POD_EXISTS: 'already-exists',
  ERR_POD_IN_USE: 'in-use',
  ERR_VOLUME_NOT_FOUND: 'not-found',
  ERR_VOLUME_EXISTS: 'already-exists',
  ERR_VOLUME_IN_USE: 'in-use',
  ERR_NETWORK_NOT_FOUND: 'not-found',
  ERR_NETWORK_EXISTS: 'already-exists',
  ERR_NETWORK_IN_USE: 'in-use',
  ERR_ADDRESS_IN_USE: 'in-use',
  ERR_SECRET_NOT_FOUND: 'not-found',
  ERR_SECRET_EXISTS: 'already-exists',
  ERR_EVENTS_TRIMMED: 'not-found',
  ERR_EXEC_NOT_FOUND: 'not-found',
  ERR_EXEC_TIMEOUT: 'timeout',
  ERR_EXEC_KILLED: 'invalid-state',
  ERR_OUTPUT_TOO_LARGE: 'invalid-argument',
  // OCI runtime, monitor, hooks
  ERR_OCI_RUNTIME: 'internal',
  ERR_OCI_RUNTIME_PERMISSION: 'denied',
  ERR_OCI_COMMAND_NOT_FOUND: 'not-found',
  ERR_OCI_CONTAINER_NOT_FOUND: 'not-found',
  ERR_CGROUP_LAYOUT: 'unsupported',
  ERR_MONITOR_DIED: 'unavailable',
  ERR_MONITOR_FAILED: 'internal',
  ERR_SPEC_INVALID: 'invalid-argument',
  ERR_HOOK_INVALID: 'invalid-argument',
  ERR_HOOK_FAILED: 'internal',
  ERR_USER_NOT_FOUND: 'not-found',
} as const satisfies Record<string, PodlibErrorKind>

/** @public */
export type PodlibErrorCode = keyof typeof ERROR_KINDS
