-- breaking: no
--
-- Completions and the fence of a batch always use their generic plan: along the given jobs, by the primary key.
--
-- A plan made for the very arrays counts their elements, finds that statistics know of no running job, and reads the
-- whole table's index to find "the one" first, then compares each running job with each given one. The first five
-- executions on each connection were planned so.

ALTER FUNCTION :"schema".complete_jobs(uuid[], bigint[], jsonb[], jsonb[]) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION :"schema".fence_jobs(uuid[], bigint[]) SET plan_cache_mode = force_generic_plan;
