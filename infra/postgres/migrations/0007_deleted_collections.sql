-- The documents that are published now: the sweeper asks for those of deleted collections, of which none are left.
create index on views.documents (collection_id) where accepted_offset > coalesce(withdrawn_offset, -1);
