CREATE TABLE IF NOT EXISTS accounts (
  id          text   PRIMARY KEY,
  customer_id text   NOT NULL,
  balance     bigint NOT NULL CHECK (balance >= 0),
  version     bigint NOT NULL
);
COMMENT ON COLUMN accounts.version IS 'That of the stream account-<id>: what a command expects when it appends.';

CREATE TABLE IF NOT EXISTS statements (
  account_id text    NOT NULL,
  month      text    NOT NULL,
  entries    integer NOT NULL,
  paid_in    bigint  NOT NULL,
  paid_out   bigint  NOT NULL,
  PRIMARY KEY (account_id, month)
);

CREATE TABLE IF NOT EXISTS sent_statements (
  account_id text   NOT NULL,
  day        date   NOT NULL,
  balance    bigint NOT NULL,
  PRIMARY KEY (account_id, day)
);
