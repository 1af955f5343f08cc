-- What an agent asks a person before it runs it: which attempt, which command, and where.
ALTER TABLE approvals ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN command TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN cwd TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN answered_by TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN reason TEXT NOT NULL DEFAULT '';
