CREATE TABLE payees (
  id      text PRIMARY KEY,
  balance bigint NOT NULL
);
-- Without a unique key, which would hide a booking that is made twice.
CREATE TABLE bookings (
  id       bigint GENERATED ALWAYS AS IDENTITY,
  transfer integer NOT NULL,
  account  text NOT NULL,
  amount   bigint NOT NULL,
  refused  boolean NOT NULL
);
INSERT INTO payees SELECT 'P-' || n, 0 FROM generate_series(0, 5) AS n;
