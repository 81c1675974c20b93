-- The block that an anchor's evidence is of: it is fetched again only when the block changes.
ALTER TABLE audit_anchors ADD COLUMN block TEXT;
