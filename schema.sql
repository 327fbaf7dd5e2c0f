-- The one place where a column is defined.
--
-- Times are UTC, ISO 8601 with milliseconds and "Z" ("2026-01-05T10:00:00.000Z"), so that they
-- sort as text. Columns named *_data, input, provider_input, models_tried and files hold JSON text.
-- The server reads user_version (last line) to know which shape a file has; a change of shape is a
-- new version here and a step from the old one in phoenix_compat/tasks/store/sqlite/migrations.py.

CREATE TABLE tasks (
  number           INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of arrival; never used twice
  id               TEXT    NOT NULL UNIQUE,             -- what clients know: topic "task:<id>"
  type             TEXT    NOT NULL,                    -- as posted: "image"
  task_type        TEXT    NOT NULL,                    -- as told to clients: "image_gen"
  model            TEXT    NOT NULL,                    -- owner/name or owner/name:version
  input            TEXT    NOT NULL,                    -- input_data as posted
  provider_input   TEXT    NOT NULL,                    -- what the model is given
  fingerprint      TEXT    NOT NULL,                    -- sha256 of model and provider_input
  status           TEXT    NOT NULL
    CHECK (status IN ('queued', 'submitting', 'running', 'completed', 'failed')),
  progress         REAL    NOT NULL DEFAULT 0.0 CHECK (progress BETWEEN 0.0 AND 1.0),
  prediction_id    TEXT,                                -- the provider's name for our order
  attempts         INTEGER NOT NULL DEFAULT 0,          -- creates that may have been billed
  connect_failures INTEGER NOT NULL DEFAULT 0,          -- creates in a row that were never sent
  cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
  result_data      TEXT,
  error_data       TEXT,
  created_at       TEXT    NOT NULL,
  updated_at       TEXT    NOT NULL,
  not_before       TEXT,                                -- a queued task waits until then
  submitted_at     TEXT,                                -- committed before the create is sent
  started_at       TEXT,                                -- when the provider's id was stored
  completed_at     TEXT,                                -- when it ended, well or badly
  cycle            INTEGER NOT NULL DEFAULT 1,          -- + 1 each time a client has it made again
  retries          INTEGER NOT NULL DEFAULT 0,          -- transient failures repeated so far
  models_tried     TEXT    NOT NULL DEFAULT '[]',       -- models that could not be had, in order
  provider_model   TEXT,                                -- what really runs; NULL: it is `model`
  deadline_s       REAL,                                -- a prediction's limit; NULL: the worker's
  files            TEXT    NOT NULL DEFAULT '[]',       -- what the archive kept, one object a file:
                                                        -- sha256, bytes, content_type, path,
                                                        -- thumbnail_path, source_url
  estimated_cost_usd REAL                               -- by our price table; NULL: unknown
);

-- Two tasks never run one prediction: it was paid for once.
CREATE UNIQUE INDEX tasks_by_prediction ON tasks (prediction_id) WHERE prediction_id IS NOT NULL;

-- The queue, the restart and the list by status read this.
CREATE INDEX tasks_by_status ON tasks (status, number);

-- Every prediction a task ever had. A task that is made again lets its old one go, and nobody may
-- take that for the answer to a new order.
CREATE TABLE predictions (
  id         TEXT PRIMARY KEY,                          -- the provider's name
  task_id    TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at TEXT NOT NULL                              -- when we learned of it
) WITHOUT ROWID;
CREATE INDEX predictions_by_task ON predictions (task_id);

-- What happened to a task, one row per move; the terminal row and the terminal state are one
-- transaction.
CREATE TABLE events (
  task_id  TEXT    NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  seq      INTEGER NOT NULL,                            -- 1, 2, 3 … within the task
  event    TEXT    NOT NULL,                            -- the state reached, or what was asked
  status   TEXT    NOT NULL,
  progress REAL    NOT NULL,
  data     TEXT,                                        -- result_data or error_data at the end
  at       TEXT    NOT NULL,
  PRIMARY KEY (task_id, seq)
) WITHOUT ROWID;

-- The Idempotency-Key of a POST and the task it made, written in one transaction; kept for a day.
CREATE TABLE idempotency_keys (
  key              TEXT PRIMARY KEY,
  body_fingerprint TEXT NOT NULL,                       -- sha256 of the posted body
  task_id          TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at       TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id);

PRAGMA user_version = 2;
