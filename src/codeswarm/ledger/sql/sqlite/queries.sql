-- name: append
INSERT INTO events (seq, session, version, at_ms, kind, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: set_head
INSERT OR REPLACE INTO head (id, seq, hash) VALUES (1, ?, ?)

-- name: head
SELECT seq, hash FROM head WHERE id = 1

-- name: last_event
SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1

-- name: versions
SELECT session, MAX(version) FROM events GROUP BY session

-- name: history
SELECT seq, version, at_ms, kind, body FROM events WHERE session = ? AND version > ? ORDER BY version LIMIT ?

-- name: after
SELECT seq, session, version, at_ms, kind, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?

-- name: after_in_session
SELECT seq, session, version, at_ms, kind, body FROM events WHERE session = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: everything
SELECT seq, session, version, at_ms, kind, body, hash FROM events ORDER BY seq

-- name: sessions
SELECT session FROM events WHERE version = 1 ORDER BY seq

-- name: add_reply
INSERT OR IGNORE INTO replies (key, at_ms, body) VALUES (?, ?, ?)

-- name: reply
SELECT body FROM replies WHERE key = ?

-- name: set_meta
INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)

-- name: meta
SELECT value FROM meta WHERE key = ?
