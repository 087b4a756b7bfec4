CREATE TABLE IF NOT EXISTS customers (
  id    text PRIMARY KEY,
  name  text NOT NULL,
  email text NOT NULL
);
