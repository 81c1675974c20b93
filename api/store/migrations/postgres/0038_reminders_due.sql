-- When to decide about each running loan next: the latest time that a decision about it was to wait for.
-- Apart from the loans, so that who changes it locks no loan, and in an index, so that a round of the job
-- reads the loans that are due and no others.
CREATE TABLE loan_reminders_due (
    loan_id TEXT COLLATE "C" PRIMARY KEY REFERENCES loans (id),
    tenant_id TEXT NOT NULL,
    remind_at BIGINT NOT NULL
);

CREATE INDEX loan_reminders_due_by_time ON loan_reminders_due (tenant_id, remind_at, loan_id);

INSERT INTO loan_reminders_due (loan_id, tenant_id, remind_at)
SELECT l.id, l.tenant_id, COALESCE(
    (SELECT MAX(r.wait_until) FROM loan_reminders AS r WHERE r.loan_id = l.id), 0)
FROM loans AS l WHERE l.running;

CREATE FUNCTION loans_follow_due() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.running THEN
        INSERT INTO loan_reminders_due (loan_id, tenant_id, remind_at)
        VALUES (NEW.id, NEW.tenant_id, 0);
    ELSE
        DELETE FROM loan_reminders_due WHERE loan_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER loans_are_due_when_made AFTER INSERT ON loans
FOR EACH ROW WHEN (NEW.running) EXECUTE FUNCTION loans_follow_due();

CREATE TRIGGER loans_are_due_no_more_or_again AFTER UPDATE OF running ON loans
FOR EACH ROW WHEN (OLD.running <> NEW.running) EXECUTE FUNCTION loans_follow_due();
