-- How much there is to look at before saying yes (0 to 100), and what that is made of (a JSON list).
ALTER TABLE approvals ADD COLUMN risk INTEGER NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN reasons TEXT NOT NULL DEFAULT '[]';
