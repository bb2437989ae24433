-- What the fold of `document-status` needs besides: which receipt said what is live (a failure says nothing of it), and
-- the highest version that was ignored because its source_version was lower than one that counted.
alter table views.documents
  add column live_told_version bigint, add column live_told_offset bigint, add column outdated_version bigint,
  add column refused_by text;
