-- The tables of this application. Tidemark's are its own: `tidemark migrate up` makes them.
create table if not exists accounts (
  id     text primary key,
  email  text not null,
  status text not null
);

create table if not exists letters (
  event_id   text primary key,
  account_id text not null,
  text       text not null
);
