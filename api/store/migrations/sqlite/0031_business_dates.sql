-- The business date of a tenant whose day the operator moves by hand; without a row the calendar
-- (UTC) tells the day.
CREATE TABLE loan_dates (
    tenant_id TEXT PRIMARY KEY,
    day BIGINT NOT NULL,
    set_at BIGINT NOT NULL
);

CREATE INDEX loans_of_tenant_to_run ON loans (tenant_id, id) WHERE running;
