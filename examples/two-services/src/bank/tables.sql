CREATE TABLE accounts (
  id      text PRIMARY KEY,
  balance bigint NOT NULL CHECK (balance >= 0)
);
-- Without a unique key, which would hide a refund that is made twice.
CREATE TABLE refunds (
  id       bigint GENERATED ALWAYS AS IDENTITY,
  transfer integer NOT NULL,
  amount   bigint NOT NULL
);
-- How many transfers were sent: one row.
CREATE TABLE sent (transfers integer NOT NULL);
INSERT INTO sent VALUES (0);
INSERT INTO accounts SELECT 'A-' || n, 100000000 FROM generate_series(0, 9) AS n;
