-- When a session is to stop by itself (`--until`); NULL: no end is set.
ALTER TABLE sessions ADD COLUMN until_ms INTEGER;
