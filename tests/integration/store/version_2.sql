BEGIN TRANSACTION;
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
INSERT INTO "events" VALUES('01a22b8a-a8e5-74ee-bc49-f7bb550fec89',1,'queued','queued',0.0,NULL,'2026-11-30T08:20:37.221Z');
INSERT INTO "events" VALUES('01a22b8a-a8e5-74ee-bc49-f7bb550fec89',2,'submitting','submitting',0.0,NULL,'2026-11-30T08:20:37.256Z');
INSERT INTO "events" VALUES('01a22b8a-a8e5-74ee-bc49-f7bb550fec89',3,'running','running',0.4,NULL,'2026-11-30T08:20:37.260Z');
INSERT INTO "events" VALUES('01a22b8a-a8e5-74ee-bc49-f7bb550fec89',4,'completed','completed',1.0,'{"image_url":"https://replicate.delivery/é.jpg","model":"google/imagen-4-fast"}','2026-11-30T08:20:37.264Z');
INSERT INTO "events" VALUES('01a22b8a-a8f4-73d7-92c3-5bed0c93d0dd',1,'queued','queued',0.0,NULL,'2026-11-30T08:20:37.236Z');
INSERT INTO "events" VALUES('01a22b8a-a8f4-73d7-92c3-5bed0c93d0dd',2,'submitting','submitting',0.0,NULL,'2026-11-30T08:20:37.268Z');
INSERT INTO "events" VALUES('01a22b8a-a8f4-73d7-92c3-5bed0c93d0dd',3,'running','running',0.4,NULL,'2026-11-30T08:20:37.272Z');
INSERT INTO "events" VALUES('01a22b8a-a8f4-73d7-92c3-5bed0c93d0dd',4,'failed','failed',0.0,'{"error":"The task was canceled.","code":"canceled"}','2026-11-30T08:20:37.276Z');
INSERT INTO "events" VALUES('01a22b8a-a8f8-784b-9471-07d2cb4cfb62',1,'queued','queued',0.0,NULL,'2026-11-30T08:20:37.240Z');
INSERT INTO "events" VALUES('01a22b8a-a8f8-784b-9471-07d2cb4cfb62',2,'submitting','submitting',0.0,NULL,'2026-11-30T08:20:37.280Z');
INSERT INTO "events" VALUES('01a22b8a-a8f8-784b-9471-07d2cb4cfb62',3,'running','running',0.4,NULL,'2026-11-30T08:20:37.284Z');
INSERT INTO "events" VALUES('01a22b8a-a8fc-72cd-88ca-af81c75bae99',1,'queued','queued',0.0,NULL,'2026-11-30T08:20:37.244Z');
INSERT INTO "events" VALUES('01a22b8a-a8fc-72cd-88ca-af81c75bae99',2,'submitting','submitting',0.0,NULL,'2026-11-30T08:20:37.288Z');
INSERT INTO "events" VALUES('01a22b8a-a8fe-7b79-925b-33e915133373',1,'queued','queued',0.0,NULL,'2026-11-30T08:20:37.246Z');
INSERT INTO "events" VALUES('01a22b8a-a8fe-7b79-925b-33e915133373',2,'cancel_requested','queued',0.0,NULL,'2026-11-30T08:20:37.292Z');
INSERT INTO "events" VALUES('01a22b8a-a903-7ec4-94d1-3b7061b9a171',1,'queued','queued',0.0,NULL,'2026-11-30T08:20:37.251Z');
INSERT INTO "events" VALUES('01a22b8a-a940-72ab-a98d-046f1543e619',1,'queued','queued',0.0,NULL,'2026-11-30T08:20:37.312Z');
CREATE TABLE idempotency_keys (
  key              TEXT PRIMARY KEY,
  body_fingerprint TEXT NOT NULL,                       -- sha256 of the posted body
  task_id          TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at       TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "idempotency_keys" VALUES('once','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','01a22b8a-a940-72ab-a98d-046f1543e619','2026-11-30T08:20:37.312Z');
CREATE TABLE predictions (
  id         TEXT PRIMARY KEY,                          -- the provider's id
  task_id    TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
  created_at TEXT NOT NULL                              -- when it became known here
) WITHOUT ROWID;
INSERT INTO "predictions" VALUES('p-1','01a22b8a-a8e5-74ee-bc49-f7bb550fec89','2026-11-30T08:20:37.260Z');
INSERT INTO "predictions" VALUES('p-2','01a22b8a-a8f4-73d7-92c3-5bed0c93d0dd','2026-11-30T08:20:37.272Z');
INSERT INTO "predictions" VALUES('p-3','01a22b8a-a8f8-784b-9471-07d2cb4cfb62','2026-11-30T08:20:37.284Z');
CREATE TABLE tasks (
  number           INTEGER PRIMARY KEY AUTOINCREMENT,   -- in order of arrival; never reused
  id               TEXT    NOT NULL UNIQUE,             -- what clients use: topic "task:<id>"
  type             TEXT    NOT NULL,                    -- as posted ("image")
  task_type        TEXT    NOT NULL,                    -- as clients see it ("image_gen")
  model            TEXT    NOT NULL,                    -- owner/name or owner/name:version
  input            TEXT    NOT NULL,                    -- input_data as posted
  provider_input   TEXT    NOT NULL,                    -- what is sent to the model
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
  estimated_cost_usd REAL                               -- by the price table; NULL: unknown
);
INSERT INTO "tasks" VALUES(1,'01a22b8a-a8e5-74ee-bc49-f7bb550fec89','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"0\"\n"}','{"prompt":"monk \"0\""}','8b656a23efed3937c7a0288a4fb4bb2861eedfd1634cc6d5fe77c0309cfdc538','completed',1.0,'p-1',1,0,0,'{"image_url":"https://replicate.delivery/é.jpg","model":"google/imagen-4-fast"}',NULL,'2026-11-30T08:20:37.221Z','2026-11-30T08:20:37.264Z',NULL,NULL,NULL,'2026-11-30T08:20:37.264Z',1,0,'[]',NULL,NULL,'[]',0.02);
INSERT INTO "tasks" VALUES(2,'01a22b8a-a8f4-73d7-92c3-5bed0c93d0dd','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"1\"\n"}','{"prompt":"monk \"1\""}','420a25ffb0b364757df18c4a85e9a95dd58ac119b59454628d67ba39379cac44','failed',0.0,'p-2',1,0,0,NULL,'{"error":"The task was canceled.","code":"canceled"}','2026-11-30T08:20:37.236Z','2026-11-30T08:20:37.276Z',NULL,NULL,NULL,'2026-11-30T08:20:37.276Z',1,0,'[]',NULL,NULL,'[]',0.02);
INSERT INTO "tasks" VALUES(3,'01a22b8a-a8f8-784b-9471-07d2cb4cfb62','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"2\"\n"}','{"prompt":"monk \"2\""}','5023cb10379a8f54d92487bf9b0d4c7bd15c9e06ba3d9454dbb7c4126ff0043b','running',0.4,'p-3',1,0,0,NULL,NULL,'2026-11-30T08:20:37.240Z','2026-11-30T08:20:37.284Z',NULL,NULL,NULL,NULL,1,0,'[]',NULL,NULL,'[]',0.02);
INSERT INTO "tasks" VALUES(4,'01a22b8a-a8fc-72cd-88ca-af81c75bae99','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"3\"\n"}','{"prompt":"monk \"3\""}','495669dd7f853f633127bc45d3308a14940228f8394fef88fa182adcaf0ccaae','submitting',0.0,NULL,1,0,0,NULL,NULL,'2026-11-30T08:20:37.244Z','2026-11-30T08:20:37.288Z',NULL,NULL,NULL,NULL,1,0,'[]',NULL,NULL,'[]',0.02);
INSERT INTO "tasks" VALUES(5,'01a22b8a-a8fe-7b79-925b-33e915133373','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"4\"\n"}','{"prompt":"monk \"4\""}','c24727d7822595135c1001bbeab84c1c4e30d04211d965207400f2b7629e560c','queued',0.0,NULL,0,0,1,NULL,NULL,'2026-11-30T08:20:37.246Z','2026-11-30T08:20:37.246Z',NULL,NULL,NULL,NULL,1,0,'[]',NULL,NULL,'[]',0.02);
INSERT INTO "tasks" VALUES(6,'01a22b8a-a903-7ec4-94d1-3b7061b9a171','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"5\"\n"}','{"prompt":"monk \"5\""}','d62e0d3652daca044d64745b94d6945d1664066dded5867c7e3da28696907b92','queued',0.0,NULL,0,0,0,NULL,NULL,'2026-11-30T08:20:37.251Z','2026-11-30T08:20:37.251Z',NULL,NULL,NULL,NULL,1,0,'[]',NULL,NULL,'[]',0.02);
INSERT INTO "tasks" VALUES(7,'01a22b8a-a940-72ab-a98d-046f1543e619','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk with a key"}','{"prompt":"monk with a key"}','951cee6da3474dd5c480b5daf3aa8d31137a68d1949862453e33af2d7ccbcdd4','queued',0.0,NULL,0,0,0,NULL,NULL,'2026-11-30T08:20:37.312Z','2026-11-30T08:20:37.312Z',NULL,NULL,NULL,NULL,1,0,'[]',NULL,NULL,'[]',0.02);
CREATE UNIQUE INDEX tasks_by_prediction ON tasks (prediction_id) WHERE prediction_id IS NOT NULL;
CREATE INDEX tasks_by_status ON tasks (status, number);
CREATE INDEX predictions_by_task ON predictions (task_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_task ON idempotency_keys (task_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('tasks',7);
COMMIT;
PRAGMA user_version = 2;
