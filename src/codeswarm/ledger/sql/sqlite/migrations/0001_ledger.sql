-- The log. Rows are inserted and never touched again; the triggers make a slip of ours an error.
CREATE TABLE events (
  seq      INTEGER PRIMARY KEY,
  session  TEXT    NOT NULL,
  version  INTEGER NOT NULL,
  at_ms    INTEGER NOT NULL,
  kind     TEXT    NOT NULL,
  body     TEXT    NOT NULL,
  hash     TEXT    NOT NULL,
  UNIQUE (session, version)
) STRICT;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

-- The end of the log, told a second time: a log that lost its last rows disagrees with it.
CREATE TABLE head (
  id    INTEGER PRIMARY KEY CHECK (id = 1),
  seq   INTEGER NOT NULL,
  hash  TEXT    NOT NULL
) STRICT;

CREATE TABLE meta (
  key    TEXT PRIMARY KEY,
  value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE replies (
  key    TEXT PRIMARY KEY,
  at_ms  INTEGER NOT NULL,
  body   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Projections: read off the log, written in the same transaction, rebuilt at will.
CREATE TABLE sessions (
  id              TEXT PRIMARY KEY,
  name            TEXT NOT NULL,
  goal            TEXT NOT NULL,
  status          TEXT NOT NULL,
  suspend_reason  TEXT NOT NULL,
  review_reason   TEXT NOT NULL,
  outcome         TEXT NOT NULL,
  detail          TEXT NOT NULL,
  started_by      TEXT NOT NULL,
  base_branch     TEXT NOT NULL,
  base            TEXT NOT NULL,
  tip             TEXT NOT NULL,
  saved_tip       TEXT NOT NULL,
  tickets         INTEGER NOT NULL,
  landed          INTEGER NOT NULL,
  cost_usd        REAL NOT NULL,
  reserved_usd    REAL NOT NULL,
  tokens          INTEGER NOT NULL,
  cost_unknown    INTEGER NOT NULL,
  started_ms      INTEGER NOT NULL,
  ended_ms        INTEGER,
  version         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tickets (
  session        TEXT NOT NULL,
  id             TEXT NOT NULL,
  place          INTEGER NOT NULL,
  wave           INTEGER NOT NULL,
  title          TEXT NOT NULL,
  priority       INTEGER NOT NULL,
  blocked_by     TEXT NOT NULL,
  status         TEXT NOT NULL,
  phase          TEXT NOT NULL,
  role           TEXT NOT NULL,
  reason         TEXT NOT NULL,
  generation     INTEGER NOT NULL,
  epoch          INTEGER NOT NULL,
  failures       INTEGER NOT NULL,
  interruptions  INTEGER NOT NULL,
  change_rounds  INTEGER NOT NULL,
  bounces        INTEGER NOT NULL,
  worker         TEXT NOT NULL,
  work           TEXT NOT NULL,
  landed         TEXT NOT NULL,
  landed_ms      INTEGER,
  not_before_ms  INTEGER NOT NULL,
  since_ms       INTEGER NOT NULL,
  files          TEXT NOT NULL,
  PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
  session          TEXT NOT NULL,
  ticket           TEXT NOT NULL,
  epoch            INTEGER NOT NULL,
  phase            TEXT NOT NULL,
  role             TEXT NOT NULL,
  number           INTEGER NOT NULL,
  worker           TEXT NOT NULL,
  agent            TEXT NOT NULL,
  status           TEXT NOT NULL,
  sandbox          TEXT NOT NULL,
  conversation     TEXT NOT NULL,
  base             TEXT NOT NULL,
  start            TEXT NOT NULL,
  snapshot         TEXT NOT NULL,
  head             TEXT NOT NULL,
  failure          TEXT NOT NULL,
  message          TEXT NOT NULL,
  summary          TEXT NOT NULL,
  gates            TEXT NOT NULL,
  late             INTEGER NOT NULL,
  cost_usd         REAL,
  input_tokens     INTEGER,
  output_tokens    INTEGER,
  transcript       TEXT NOT NULL,
  transcript_size  INTEGER NOT NULL,
  leased_ms        INTEGER NOT NULL,
  ended_ms         INTEGER,
  PRIMARY KEY (session, ticket, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE gates (
  session    TEXT NOT NULL,
  gate       TEXT NOT NULL,
  purpose    TEXT NOT NULL,
  ticket     TEXT NOT NULL,
  tree       TEXT NOT NULL,
  epoch      INTEGER NOT NULL,
  worker     TEXT NOT NULL,
  state      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  at_ms      INTEGER NOT NULL,
  PRIMARY KEY (session, gate)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipts (
  session      TEXT NOT NULL,
  id           TEXT NOT NULL,
  tree         TEXT NOT NULL,
  name         TEXT NOT NULL,
  command      TEXT NOT NULL,
  outcome      TEXT NOT NULL,
  exit_code    INTEGER,
  log          TEXT NOT NULL,
  worker       TEXT NOT NULL,
  given_by     TEXT NOT NULL,
  signature    TEXT NOT NULL,
  at_ms        INTEGER NOT NULL,
  PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE landings (
  session   TEXT NOT NULL,
  landing   INTEGER NOT NULL,
  ticket    TEXT NOT NULL,
  state     TEXT NOT NULL,
  old       TEXT NOT NULL,
  new       TEXT NOT NULL,
  tree      TEXT NOT NULL,
  reason    TEXT NOT NULL,
  receipts  TEXT NOT NULL,
  at_ms     INTEGER NOT NULL,
  PRIMARY KEY (session, landing)
) STRICT, WITHOUT ROWID;

CREATE TABLE approvals (
  session       TEXT NOT NULL,
  id            TEXT NOT NULL,
  subject       TEXT NOT NULL,
  ticket        TEXT NOT NULL,
  evidence      TEXT NOT NULL,
  why           TEXT NOT NULL,
  state         TEXT NOT NULL,
  needed        INTEGER NOT NULL,
  given_by      TEXT NOT NULL,
  requested_ms  INTEGER NOT NULL,
  expires_ms    INTEGER NOT NULL,
  PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
  session     TEXT NOT NULL,
  checkpoint  TEXT NOT NULL,
  branch      TEXT NOT NULL,
  old         TEXT NOT NULL,
  new         TEXT NOT NULL,
  state       TEXT NOT NULL,
  how         TEXT NOT NULL,
  at_ms       INTEGER NOT NULL,
  PRIMARY KEY (session, checkpoint)
) STRICT, WITHOUT ROWID;
