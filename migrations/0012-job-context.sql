-- breaking: no
--
-- What jobs carry besides their input: a webhook with its headers, descriptions of files. NULL: nothing.

ALTER TABLE :"schema".jobs ADD COLUMN context jsonb;
ALTER TABLE :"schema".jobs ADD COLUMN context_meta jsonb;
