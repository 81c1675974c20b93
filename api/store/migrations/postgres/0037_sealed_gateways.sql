-- Whether the secret lies sealed under a key that is not in the database, as those of webhooks do. Those
-- from before are sealed at the server's next start.
ALTER TABLE care_gateways ADD COLUMN sealed BOOLEAN NOT NULL DEFAULT FALSE;
