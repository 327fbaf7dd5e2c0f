BEGIN TRANSACTION;
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
INSERT INTO "events" VALUES('5615a733-eb0e-4162-bebd-ed9f9373bebc',1,'queued','queued',0.0,NULL,'2026-11-23T13:42:04.547Z');
INSERT INTO "events" VALUES('5615a733-eb0e-4162-bebd-ed9f9373bebc',2,'submitting','submitting',0.0,NULL,'2026-11-23T13:42:04.554Z');
INSERT INTO "events" VALUES('5615a733-eb0e-4162-bebd-ed9f9373bebc',3,'running','running',0.4,NULL,'2026-11-23T13:42:04.556Z');
INSERT INTO "events" VALUES('5615a733-eb0e-4162-bebd-ed9f9373bebc',4,'completed','completed',1.0,'{"image_url":"https://replicate.delivery/é.jpg","model":"google/imagen-4-fast"}','2026-11-23T13:42:04.557Z');
INSERT INTO "events" VALUES('869a9a0f-e65e-41c8-9713-03c07b1eed41',1,'queued','queued',0.0,NULL,'2026-11-23T13:42:04.551Z');
INSERT INTO "events" VALUES('869a9a0f-e65e-41c8-9713-03c07b1eed41',2,'submitting','submitting',0.0,NULL,'2026-11-23T13:42:04.563Z');
INSERT INTO "events" VALUES('adf619b6-d13a-454b-b099-7fdc2e4bac75',1,'queued','queued',0.0,NULL,'2026-11-23T13:42:04.552Z');
INSERT INTO "events" VALUES('adf619b6-d13a-454b-b099-7fdc2e4bac75',2,'cancel_requested','queued',0.0,NULL,'2026-11-23T13:42:04.564Z');
INSERT INTO "events" VALUES('cfec733d-f673-448a-baea-73ea102f0664',1,'queued','queued',0.0,NULL,'2026-11-23T13:42:04.553Z');
INSERT INTO "events" VALUES('f5fc9f12-7373-4054-a2f5-8967805f419a',1,'queued','queued',0.0,NULL,'2026-11-23T13:42:04.549Z');
INSERT INTO "events" VALUES('f5fc9f12-7373-4054-a2f5-8967805f419a',2,'submitting','submitting',0.0,NULL,'2026-11-23T13:42:04.557Z');
INSERT INTO "events" VALUES('f5fc9f12-7373-4054-a2f5-8967805f419a',3,'running','running',0.4,NULL,'2026-11-23T13:42:04.560Z');
INSERT INTO "events" VALUES('f5fc9f12-7373-4054-a2f5-8967805f419a',4,'failed','failed',0.0,'{"error":"The task was canceled.","code":"canceled"}','2026-11-23T13:42:04.561Z');
INSERT INTO "events" VALUES('fd6dcc32-8450-4088-8ab1-3d2d2e5c20f0',1,'queued','queued',0.0,NULL,'2026-11-23T13:42:04.550Z');
INSERT INTO "events" VALUES('fd6dcc32-8450-4088-8ab1-3d2d2e5c20f0',2,'submitting','submitting',0.0,NULL,'2026-11-23T13:42:04.562Z');
INSERT INTO "events" VALUES('fd6dcc32-8450-4088-8ab1-3d2d2e5c20f0',3,'running','running',0.4,NULL,'2026-11-23T13:42:04.563Z');
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
INSERT INTO "tasks" VALUES(1,'5615a733-eb0e-4162-bebd-ed9f9373bebc','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"0\"\n"}','{"prompt":"monk \"0\""}','8b656a23efed3937c7a0288a4fb4bb2861eedfd1634cc6d5fe77c0309cfdc538','completed',1.0,'p-1',1,0,0,'{"image_url":"https://replicate.delivery/é.jpg","model":"google/imagen-4-fast"}',NULL,'2026-11-23T13:42:04.547Z','2026-11-23T13:42:04.557Z',NULL,NULL,NULL,'2026-11-23T13:42:04.557Z');
INSERT INTO "tasks" VALUES(2,'f5fc9f12-7373-4054-a2f5-8967805f419a','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"1\"\n"}','{"prompt":"monk \"1\""}','420a25ffb0b364757df18c4a85e9a95dd58ac119b59454628d67ba39379cac44','failed',0.0,'p-2',1,0,0,NULL,'{"error":"The task was canceled.","code":"canceled"}','2026-11-23T13:42:04.549Z','2026-11-23T13:42:04.561Z',NULL,NULL,NULL,'2026-11-23T13:42:04.561Z');
INSERT INTO "tasks" VALUES(3,'fd6dcc32-8450-4088-8ab1-3d2d2e5c20f0','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"2\"\n"}','{"prompt":"monk \"2\""}','5023cb10379a8f54d92487bf9b0d4c7bd15c9e06ba3d9454dbb7c4126ff0043b','running',0.4,'p-3',1,0,0,NULL,NULL,'2026-11-23T13:42:04.550Z','2026-11-23T13:42:04.563Z',NULL,NULL,NULL,NULL);
INSERT INTO "tasks" VALUES(4,'869a9a0f-e65e-41c8-9713-03c07b1eed41','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"3\"\n"}','{"prompt":"monk \"3\""}','495669dd7f853f633127bc45d3308a14940228f8394fef88fa182adcaf0ccaae','submitting',0.0,NULL,1,0,0,NULL,NULL,'2026-11-23T13:42:04.551Z','2026-11-23T13:42:04.563Z',NULL,NULL,NULL,NULL);
INSERT INTO "tasks" VALUES(5,'adf619b6-d13a-454b-b099-7fdc2e4bac75','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"4\"\n"}','{"prompt":"monk \"4\""}','c24727d7822595135c1001bbeab84c1c4e30d04211d965207400f2b7629e560c','queued',0.0,NULL,0,0,1,NULL,NULL,'2026-11-23T13:42:04.552Z','2026-11-23T13:42:04.552Z',NULL,NULL,NULL,NULL);
INSERT INTO "tasks" VALUES(6,'cfec733d-f673-448a-baea-73ea102f0664','image','image_gen','google/imagen-4-fast','{"type":"image","prompt":"monk \"5\"\n"}','{"prompt":"monk \"5\""}','d62e0d3652daca044d64745b94d6945d1664066dded5867c7e3da28696907b92','queued',0.0,NULL,0,0,0,NULL,NULL,'2026-11-23T13:42:04.553Z','2026-11-23T13:42:04.553Z',NULL,NULL,NULL,NULL);
CREATE UNIQUE INDEX tasks_by_prediction ON tasks (prediction_id) WHERE prediction_id IS NOT NULL;
CREATE INDEX tasks_by_status ON tasks (status, number);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('tasks',6);
COMMIT;
PRAGMA user_version = 1;
