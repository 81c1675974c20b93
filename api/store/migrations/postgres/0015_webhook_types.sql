-- Which types of events the receiver is told about, separated by commas; empty: all.
ALTER TABLE webhook_endpoints ADD COLUMN types TEXT NOT NULL DEFAULT '';
