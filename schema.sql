-- The one place where a column is defined.
--
-- Times are UTC, ISO 8601 with milliseconds and "Z" ("2026-01-05T10:00:00.000Z"), so that they
-- sort as text. Columns named *_data, input and provider_input hold JSON text.
-- The server reads user_version (last line) to know which shape a file has.

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
  completed_at     TEXT                                 -- when it ended, well or badly
);

-- Two tasks never own one prediction: it was paid for once.
CREATE UNIQUE INDEX tasks_by_prediction ON tasks (prediction_id) WHERE prediction_id IS NOT NULL;

-- The queue, the restart and the list by status read this.
CREATE INDEX tasks_by_status ON tasks (status, number);

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

PRAGMA user_version = 1;
