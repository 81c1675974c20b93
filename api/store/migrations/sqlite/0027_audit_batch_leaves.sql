-- What the sequencer needs of a batch that waits: for each record its leaf's hash, the length of its
-- stream's name as a big-endian u32, and that name. Emptied when the batch gets its indices. NULL with a
-- batch that waits: it was written before this column, and its records are read.
ALTER TABLE audit_batches ADD COLUMN leaves BLOB;
