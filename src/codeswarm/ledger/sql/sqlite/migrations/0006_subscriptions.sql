-- What subscriptions paid for, at the price that it would have had without; it is not in cost_usd.
ALTER TABLE sessions ADD COLUMN subscription_usd REAL NOT NULL DEFAULT 0;
