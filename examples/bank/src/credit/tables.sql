CREATE TABLE IF NOT EXISTS facilities (
  id          text   PRIMARY KEY,
  customer_id text   NOT NULL,
  amount      bigint NOT NULL,
  status      text   NOT NULL CHECK (status IN ('submitted', 'in_review', 'approved', 'declined', 'active')),
  version     bigint NOT NULL
);
COMMENT ON COLUMN facilities.version IS 'That of the stream facility-<id>: what a command expects when it appends.';
CREATE INDEX IF NOT EXISTS facilities_customer ON facilities (customer_id);
