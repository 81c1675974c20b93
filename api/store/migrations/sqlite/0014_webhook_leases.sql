-- Until when one server serves the receiver alone: apart from when its next attempt is due, so that
-- a request can make it due at once.
ALTER TABLE webhook_endpoints ADD COLUMN leased_until BIGINT NOT NULL DEFAULT 0;
