-- The schema of the task database. Columns are defined here and nowhere else.
--
-- Times are UTC, ISO 8601 with milliseconds and "Z" ("2026-01-05T10:00:00.000Z"), so that they
-- sort as text. Columns named *_data, input, provider_input, models_tried and files hold JSON text.
-- The server reads user_version (last line) to find out which schema a file has. A change of the
-- schema needs a new version here, and a step from the old version in
-- phoenix_compat/tasks/store/sqlite/migrations.py.

CREATE TABLE tasks (
  number           INTEGER PRIMARY KEY AUTOINCREMENT,   -- in order of arrival; never reused
  id               TEXT    NOT NULL UNIQUE,             -- what clients use: topic "task:<id>"
  type             TEXT    NOT NULL,                    -- as posted ("image")
  task_type        TEXT    NOT NULL,                    -- as clients see it ("image_gen")
  model            TEXT    NOT NULL,                    -- owner/name or owner/name:version
  fingerprint      TEXT    NOT NULL,                    -- sha256 of model and provider_input
  status           TEXT    NOT NULL
    CHECK (status IN ('queued', 'submitting', 'running', 'completed', 'failed')),
  progress         REAL    NOT NULL DEFAULT 0.0 CHECK (progress BETWEEN 0.0 AND 1.0),
  prediction_id    TEXT,                                -- the provider's id of the prediction
  attempts         INTEGER NOT NULL DEFAULT 0,          -- creates that may have been billed
  connect_failures INTEGER NOT NULL DEFAULT 0,          -- failed connections in a row
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  result_data      TEXT,
  error_data       TEXT,
  created_at       TEXT    NOT NULL,
  updated_at       TEXT    NOT NULL,
  not_before       TEXT,                                -- a queued task does not start earlier
  submitted_at     TEXT,                                -- committed before the create is sent
  started_at       TEXT,                                -- when the provider's id was stored
  completed_at     TEXT,                                -- when it completed or failed
  cycle            INTEGER NOT NULL DEFAULT 1,          -- + 1 with each retry by a client
  retries          INTEGER NOT NULL DEFAULT 0,          -- repeats after transient failures
  models_tried     TEXT    NOT NULL DEFAULT '[]',       -- unavailable models, in order
  provider_model   TEXT,                                -- fallback that runs; NULL: `model`
  deadline_s       REAL,                                -- time limit; NULL: the worker's own
  files            TEXT    NOT NULL DEFAULT '[]',       -- stored files, one object for each:
                                                        -- sha256, bytes, content_type, path,
                                                        -- thumbnail_path, source_url
  estimated_cost_usd REAL,                              -- by the price table; NULL: unknown
  owner            TEXT    NOT NULL DEFAULT '',         -- who may see it; '': nobody in particular
  reserved_microdollars INTEGER NOT NULL DEFAULT 0,     -- its share of `spending`
  reserved_on      TEXT,                                -- the UTC day that share was counted on
  traceparent      TEXT,                                -- W3C trace context of its request, if any
  lease            INTEGER NOT NULL DEFAULT 0,          -- + 1 each time that a node takes the task
  lease_until      TEXT,                                -- another node may take it then; NULL: now
  node             TEXT,                                -- the node that took it last
  -- The long columns are the last, because SQLite reads all that come before a column.
  input            TEXT    NOT NULL,                    -- input_data as posted
  provider_input   TEXT    NOT NULL                     -- what is sent to the model
);

-- Two tasks never share a prediction, because it was paid for once.
CREATE UNIQUE INDEX tasks_by_prediction ON tasks (prediction_id) WHERE prediction_id IS NOT NULL;

-- For the queue, the recovery at start, and the list by status.
CREATE INDEX tasks_by_status ON tasks (status, number);

-- For lists and for the queue, both by owner.
CREATE INDEX tasks_by_owner ON tasks (owner, number);
CREATE INDEX tasks_by_status_and_owner ON tasks (status, owner, number);

-- Every prediction that a task ever had. A retried task gives up its old prediction, which must not
-- be mistaken for the prediction of a new create.
CREATE TABLE predictions (
  id         TEXT PRIMARY KEY,                          -- the provider's id
  task_id    TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at TEXT NOT NULL                              -- when it became known here
) WITHOUT ROWID;
CREATE INDEX predictions_by_task ON predictions (task_id);

-- A task's history, one row for each move; a move and its row are written in one transaction.
CREATE TABLE events (
  task_id  TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  seq      INTEGER NOT NULL,                            -- 1, 2, 3 … within the task
  event    TEXT    NOT NULL,                            -- the state reached, or the request
  status   TEXT    NOT NULL,
  progress REAL    NOT NULL,
  data     TEXT,                                        -- result_data or error_data at the end
  at       TEXT    NOT NULL,
  PRIMARY KEY (task_id, seq)
) WITHOUT ROWID;

-- The Idempotency-Key of a POST and its task, written in one transaction; kept for a day.
CREATE TABLE idempotency_keys (
  owner            TEXT NOT NULL DEFAULT '',            -- each owner has keys of its own
  key              TEXT NOT NULL,
  body_fingerprint TEXT NOT NULL,                       -- sha256 of the posted body
  task_id          TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at       TEXT NOT NULL,
  PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id);

-- What was ordered in a UTC day ("2026-01-05") or month ("2026-01"), for the caps. A task is counted
-- in the transaction that stores it, and its cost is taken back if nothing can have been billed.
CREATE TABLE spending (
  period       TEXT    NOT NULL,
  subject      TEXT    NOT NULL,                        -- "all", or "owner:" and an owner
  tasks        INTEGER NOT NULL DEFAULT 0,
  microdollars INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (period, subject)
) WITHOUT ROWID;

-- API keys. Only their hashes are stored; a key itself is shown once, when it is created.
CREATE TABLE api_keys (
  name         TEXT PRIMARY KEY,                        -- its tasks belong to "key:<name>"
  sha256       TEXT NOT NULL UNIQUE,                    -- of the key, in hexadecimal
  scopes       TEXT NOT NULL,                           -- JSON: ["create", "read"]
  created_at   TEXT NOT NULL,
  last_used_at TEXT,                                    -- written at most once a minute
  revoked_at   TEXT
) WITHOUT ROWID;

-- Files that clients sent as inputs of tasks, for each owner; the archive has one copy of each. They
-- are deleted when no task uses them any more, a day after they were used last.
CREATE TABLE uploads (
  owner        TEXT    NOT NULL DEFAULT '',
  sha256       TEXT    NOT NULL,                        -- of the content; names the file
  content_type TEXT    NOT NULL,
  size_bytes   INTEGER NOT NULL,
  created_at   TEXT    NOT NULL,
  used_at      TEXT    NOT NULL,                        -- sent again, or used by a new task
  PRIMARY KEY (owner, sha256)
) WITHOUT ROWID;
CREATE INDEX uploads_by_hash ON uploads (sha256);
CREATE INDEX uploads_by_use ON uploads (used_at);

-- Which tasks use which of these files.
CREATE TABLE task_inputs (
  sha256  TEXT NOT NULL,
  task_id TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  PRIMARY KEY (sha256, task_id)
) WITHOUT ROWID;
CREATE INDEX task_inputs_by_task ON task_inputs (task_id);

-- Copies of these files at the provider, by which it got them as inputs.
CREATE TABLE provider_files (
  url        TEXT PRIMARY KEY,
  sha256     TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT NOT NULL                              -- when the provider deletes it
) WITHOUT ROWID;
CREATE INDEX provider_files_by_hash ON provider_files (sha256);
CREATE INDEX provider_files_by_expiry ON provider_files (expires_at);

-- Events of tasks that the operator's webhooks do not have yet. A row is written together with the
-- event, and deleted after it was delivered.
CREATE TABLE webhook_deliveries (
  number           INTEGER PRIMARY KEY,                 -- the order, within each task
  webhook          TEXT    NOT NULL,                    -- its name in the settings
  id               TEXT    NOT NULL,                    -- the same at each attempt
  task_id          TEXT    NOT NULL,                    -- without reference: the task may be gone
  event            TEXT    NOT NULL,                    -- "completed"
  body             TEXT    NOT NULL,                    -- what is sent
  created_at       TEXT    NOT NULL,
  attempts         INTEGER NOT NULL DEFAULT 0,
  first_attempt_at TEXT,
  next_attempt_at  TEXT,                                -- NULL: after an earlier one of its task
  error            TEXT,                                -- why the last attempt failed
  failed_at        TEXT                                 -- given up, until it is replayed
);
CREATE INDEX webhook_deliveries_by_task ON webhook_deliveries (webhook, task_id, number);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (webhook, failed_at, next_attempt_at);

-- How the operator's webhooks are doing.
CREATE TABLE webhooks (
  name            TEXT    PRIMARY KEY,
  delivered       INTEGER NOT NULL DEFAULT 0,
  dropped         INTEGER NOT NULL DEFAULT 0,           -- events that were too many to keep
  last_success_at TEXT,
  disabled_at     TEXT,                                 -- nothing is sent, until it is replayed
  reason          TEXT                                  -- why it is disabled
) WITHOUT ROWID;

-- The tables from here on are for several nodes on one database. In a file, which one process has
-- to itself, they stay empty, and the columns lease, lease_until and node of tasks keep their
-- defaults.

-- What the nodes know of the provider's account: the turns of the owners, the pace of creates and
-- the circuit. One row, which is locked while a node takes queued tasks.
CREATE TABLE provider_state (
  name         TEXT PRIMARY KEY,                        -- "account"
  served_owner TEXT NOT NULL DEFAULT '',                -- whose task was started last
  state        TEXT NOT NULL,                           -- JSON: the pace and the circuit
  updated_at   TEXT NOT NULL
) WITHOUT ROWID;

-- Jobs that one node does for all of them.
CREATE TABLE roles (
  name  TEXT PRIMARY KEY,                               -- "maintenance"
  node  TEXT NOT NULL,                                  -- the id of the node that has it
  until TEXT NOT NULL                                   -- another node may take it then
) WITHOUT ROWID;

-- The nodes; each writes its own row as often as it renews its leases.
CREATE TABLE nodes (
  id         TEXT    PRIMARY KEY,                       -- a new one at each start
  name       TEXT    NOT NULL,                          -- host and process id
  version    TEXT    NOT NULL,                          -- of the program
  url        TEXT,                                      -- where it listens
  started_at TEXT    NOT NULL,
  seen_at    TEXT    NOT NULL,
  running    INTEGER NOT NULL DEFAULT 0,                -- tasks that it runs
  deaf       INTEGER NOT NULL DEFAULT 0 CHECK (deaf IN (0, 1))  -- hears nothing from the bus
) WITHOUT ROWID;

-- Secrets that the nodes share; the first node makes them.
CREATE TABLE shared_secrets (
  name  TEXT PRIMARY KEY,                               -- "secret_key_base"
  value TEXT NOT NULL
) WITHOUT ROWID;

PRAGMA user_version = 7;
