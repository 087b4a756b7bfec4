-- A copy of what letters need: this module asks no other for it.
CREATE TABLE IF NOT EXISTS recipients (
  customer_id text PRIMARY KEY,
  given_name  text NOT NULL,
  email       text NOT NULL
);

CREATE TABLE IF NOT EXISTS letters (
  id          uuid PRIMARY KEY, -- that of the event it answers
  customer_id text NOT NULL,
  email       text NOT NULL,
  subject     text NOT NULL,
  body        text NOT NULL
);
CREATE INDEX IF NOT EXISTS letters_customer ON letters (customer_id);
