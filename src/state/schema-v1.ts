/**
 * The first schema. Frozen once released: a change of the schema is a new migration, never an edit here.
 *
 * Times are integer milliseconds since the epoch, sizes bytes, flags 0 or 1, `*_start_time` the start time of a process in
 * clock ticks since boot (proc_pid_stat(5), field 22), which together with the boot id tells a pid from a later one.
 * What a listing needs is a column; what only `inspect` or `init` needs is JSON in a table of its own, so that a listing
 * reads few pages. References say what may not be deleted: whoever asks too early is refused by the database itself.
 */
export const SCHEMA_V1 = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- one name space for containers and pods, kept by the triggers below
CREATE TABLE names (
  name TEXT PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('container', 'pod')), id TEXT NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

CREATE TABLE layers (
  diff_id TEXT PRIMARY KEY, form TEXT NOT NULL, size INTEGER NOT NULL, usage_bytes INTEGER NOT NULL, entries INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('staging', 'ready', 'deleting')), created_at INTEGER NOT NULL, last_used_at INTEGER NOT NULL
) STRICT;

CREATE TABLE blobs (
  blob_digest TEXT PRIMARY KEY, diff_id TEXT NOT NULL REFERENCES layers ON DELETE CASCADE,
  size INTEGER NOT NULL, media_type TEXT NOT NULL
) STRICT;
CREATE INDEX blobs_of_layer ON blobs (diff_id);

CREATE TABLE images (
  id TEXT PRIMARY KEY, created_at INTEGER, stored_at INTEGER NOT NULL, os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT NOT NULL,
  size INTEGER NOT NULL, labels TEXT NOT NULL, config BLOB NOT NULL
) STRICT;

CREATE TABLE image_layers (
  image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE, position INTEGER NOT NULL,
  diff_id TEXT NOT NULL REFERENCES layers ON DELETE RESTRICT,
  blob_digest TEXT NOT NULL, blob_size INTEGER NOT NULL, media_type TEXT NOT NULL,
  PRIMARY KEY (image_id, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX images_of_layer ON image_layers (diff_id);

CREATE TABLE image_manifests (
  image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE, digest TEXT NOT NULL, media_type TEXT NOT NULL, bytes BLOB NOT NULL,
  index_digest TEXT, index_bytes BLOB, signatures TEXT NOT NULL,
  PRIMARY KEY (image_id, digest)
) STRICT;
CREATE INDEX manifests_by_digest ON image_manifests (digest);
CREATE INDEX manifests_by_index ON image_manifests (index_digest);

CREATE TABLE image_names (
  name TEXT NOT NULL, os TEXT NOT NULL, architecture TEXT NOT NULL, variant TEXT NOT NULL,
  image_id TEXT NOT NULL REFERENCES images ON DELETE CASCADE, manifest_digest TEXT NOT NULL,
  PRIMARY KEY (name, os, architecture, variant)
) STRICT, WITHOUT ROWID;
CREATE INDEX names_of_image ON image_names (image_id);

CREATE TABLE pods (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at INTEGER NOT NULL,
  infra_id TEXT REFERENCES containers ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
  removing INTEGER NOT NULL, labels TEXT NOT NULL, ephemeral INTEGER NOT NULL, owner_pid INTEGER, owner_start_time INTEGER,
  generation INTEGER NOT NULL, config TEXT NOT NULL
) STRICT;

CREATE TABLE containers (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  pod_id TEXT REFERENCES pods ON DELETE RESTRICT, image_id TEXT REFERENCES images ON DELETE RESTRICT, image_name TEXT,
  status TEXT NOT NULL CHECK (status IN ('configured', 'created', 'running', 'paused', 'stopping', 'stopped', 'exited', 'removing')),
  created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER, exit_code INTEGER, exit_signal TEXT,
  oom_killed INTEGER NOT NULL, error TEXT, pid INTEGER, pid_start_time INTEGER, monitor_pid INTEGER, monitor_start_time INTEGER,
  boot_id TEXT, health TEXT, command TEXT NOT NULL, labels TEXT NOT NULL, ports TEXT NOT NULL,
  ephemeral INTEGER NOT NULL, owner_pid INTEGER, owner_start_time INTEGER, stopped_by_user INTEGER NOT NULL,
  restart_count INTEGER NOT NULL, init_step TEXT, attached INTEGER NOT NULL, network TEXT NOT NULL, generation INTEGER NOT NULL
) STRICT;
CREATE INDEX containers_of_pod ON containers (pod_id) WHERE pod_id IS NOT NULL;
CREATE INDEX containers_of_image ON containers (image_id) WHERE image_id IS NOT NULL;
CREATE INDEX containers_by_status ON containers (status);

CREATE TABLE container_configs (container_id TEXT PRIMARY KEY REFERENCES containers ON DELETE CASCADE, config TEXT NOT NULL) STRICT;

CREATE TABLE container_dependencies (
  container_id TEXT NOT NULL REFERENCES containers ON DELETE CASCADE, depends_on TEXT NOT NULL REFERENCES containers ON DELETE RESTRICT,
  PRIMARY KEY (container_id, depends_on)
) STRICT, WITHOUT ROWID;
CREATE INDEX dependants ON container_dependencies (depends_on);

-- outlives the container: wait() on one that was just removed still gets its answer
CREATE TABLE exit_records (
  container_id TEXT PRIMARY KEY, exit_code INTEGER NOT NULL, exit_signal TEXT, oom_killed INTEGER NOT NULL, finished_at INTEGER NOT NULL
) STRICT;
CREATE INDEX exit_records_by_time ON exit_records (finished_at);

CREATE TABLE exec_sessions (
  id TEXT PRIMARY KEY, container_id TEXT NOT NULL REFERENCES containers ON DELETE CASCADE, status TEXT NOT NULL,
  pid INTEGER, pid_start_time INTEGER, exit_code INTEGER, exit_signal TEXT, created_at INTEGER NOT NULL, finished_at INTEGER, config TEXT NOT NULL
) STRICT;
CREATE INDEX exec_sessions_of_container ON exec_sessions (container_id);

CREATE TABLE volumes (
  name TEXT PRIMARY KEY, driver TEXT NOT NULL, anonymous INTEGER NOT NULL, created_at INTEGER NOT NULL, labels TEXT NOT NULL,
  options TEXT NOT NULL, mount_count INTEGER NOT NULL, needs_copy_up INTEGER NOT NULL, removing INTEGER NOT NULL
) STRICT;

CREATE TABLE container_volumes (
  container_id TEXT NOT NULL REFERENCES containers ON DELETE CASCADE, destination TEXT NOT NULL,
  volume_name TEXT NOT NULL REFERENCES volumes ON DELETE RESTRICT,
  PRIMARY KEY (container_id, destination)
) STRICT, WITHOUT ROWID;
CREATE INDEX containers_of_volume ON container_volumes (volume_name);

CREATE TABLE networks (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL, created_at INTEGER NOT NULL, labels TEXT NOT NULL, config TEXT NOT NULL
) STRICT;

-- one row an address: the primary key is what makes two containers with one address impossible
CREATE TABLE network_addresses (
  network_id TEXT NOT NULL REFERENCES networks ON DELETE RESTRICT, address TEXT NOT NULL,
  container_id TEXT NOT NULL REFERENCES containers ON DELETE CASCADE,
  PRIMARY KEY (network_id, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX addresses_of_container ON network_addresses (container_id);

CREATE TABLE secrets (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
  labels TEXT NOT NULL, options TEXT NOT NULL
) STRICT;

-- AUTOINCREMENT: a number is never given twice, also when the newest events are gone
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, type TEXT NOT NULL, action TEXT NOT NULL,
  subject_id TEXT NOT NULL, subject_name TEXT NOT NULL, attributes TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (time);

CREATE TRIGGER container_takes_name AFTER INSERT ON containers BEGIN INSERT INTO names VALUES (NEW.name, 'container', NEW.id); END;
CREATE TRIGGER container_changes_name AFTER UPDATE OF name ON containers BEGIN UPDATE names SET name = NEW.name WHERE id = NEW.id; END;
CREATE TRIGGER container_leaves_name AFTER DELETE ON containers BEGIN DELETE FROM names WHERE id = OLD.id; END;
CREATE TRIGGER pod_takes_name AFTER INSERT ON pods BEGIN INSERT INTO names VALUES (NEW.name, 'pod', NEW.id); END;
CREATE TRIGGER pod_changes_name AFTER UPDATE OF name ON pods BEGIN UPDATE names SET name = NEW.name WHERE id = NEW.id; END;
CREATE TRIGGER pod_leaves_name AFTER DELETE ON pods BEGIN DELETE FROM names WHERE id = OLD.id; END;
`
