-- Agents that are sent nothing, or were: why, and until when (NULL: until a person says so).
CREATE TABLE parkings (
  session     TEXT NOT NULL,
  agent       TEXT NOT NULL,
  account     TEXT NOT NULL,
  state       TEXT NOT NULL,
  why         TEXT NOT NULL,
  detail      TEXT NOT NULL,
  since_ms    INTEGER NOT NULL,
  until_ms    INTEGER,
  given_by    TEXT NOT NULL,
  told_by     TEXT NOT NULL,
  changed_ms  INTEGER NOT NULL,
  PRIMARY KEY (session, agent, account)
) STRICT, WITHOUT ROWID;
