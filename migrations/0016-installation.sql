-- The identity of an outbox, for messages that leave it.
-- breaking: no

-- Made once and kept by backups: a relay knows by it what it has sent, an intake what it has taken. Two installs in one
-- database have one each.
CREATE TABLE :"schema".installation (
  id uuid NOT NULL DEFAULT gen_random_uuid(),
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one)
);
INSERT INTO :"schema".installation DEFAULT VALUES;

ALTER TABLE :"schema".listeners DROP CONSTRAINT listeners_kind_check,
  ADD CONSTRAINT listeners_kind_check CHECK (kind IN ('listener', 'projection', 'relay', 'intake'));
