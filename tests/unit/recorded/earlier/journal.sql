BEGIN TRANSACTION;
CREATE TABLE command (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL, step TEXT NOT NULL, host TEXT NOT NULL, text TEXT NOT NULL,
    at TEXT NOT NULL, seconds REAL NOT NULL, status INTEGER
);
INSERT INTO "command" VALUES(1,1,'images.deploy01','snow01','xl shutdown -w deploy01','2001-09-09T01:46:40.000Z',3.5,0);
CREATE TABLE event (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run, step TEXT NOT NULL, what TEXT NOT NULL,
    at TEXT NOT NULL, seconds REAL, detail TEXT NOT NULL DEFAULT ''
);
INSERT INTO "event" VALUES(1,1,'images.deploy01','started','2026-11-27T11:48:06.437Z',NULL,'');
INSERT INTO "event" VALUES(2,1,'images.deploy01','done','2026-11-27T11:48:06.443Z',12.5,'');
INSERT INTO "event" VALUES(3,2,'corosync.start','started','2026-11-27T11:48:06.445Z',NULL,'');
CREATE TABLE fact (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES run, step TEXT NOT NULL, key TEXT NOT NULL,
    value TEXT NOT NULL, at TEXT NOT NULL
);
INSERT INTO "fact" VALUES(1,1,'images.deploy01','bytes','4096','2026-11-27T11:48:06.442Z');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('id','0cf8f38393044546a7813d4d6b91c98f');
CREATE TABLE question (server TEXT NOT NULL, argv TEXT NOT NULL);
INSERT INTO "question" VALUES('snow01','["true"]');
CREATE TABLE run (
    id INTEGER PRIMARY KEY, who TEXT NOT NULL, origin TEXT NOT NULL,
    started TEXT NOT NULL, ended TEXT, outcome TEXT
);
INSERT INTO "run" VALUES(1,'root','laptop','2026-11-27T11:48:06.433Z','2026-11-27T11:48:06.444Z','done');
INSERT INTO "run" VALUES(2,'root','laptop','2026-11-27T11:48:06.445Z',NULL,NULL);
CREATE INDEX event_step ON event (step, id);
CREATE INDEX fact_step ON fact (step, key, id);
COMMIT;
PRAGMA user_version = 2;
