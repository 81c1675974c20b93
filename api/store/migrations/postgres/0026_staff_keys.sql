-- A key that belongs to a person: each of its reads is a record of the audit log.
ALTER TABLE api_keys ADD COLUMN staff BOOLEAN NOT NULL DEFAULT FALSE;
