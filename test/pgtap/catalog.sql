-- What the extension and a model leave in the catalog.
BEGIN;
SELECT plan(28);
SET LOCAL client_min_messages = warning;
CREATE TABLE public.catalog_contact (id int PRIMARY KEY);
CREATE TABLE public.catalog_event (contact int, at timestamptz);
SELECT leadscore.create_model('catalog', 'public.catalog_contact');
UPDATE leadscore.lead_model SET daily = true WHERE model = 'catalog';
SELECT leadscore.attach('catalog', 'public.catalog_event', 'contact', 'at');

-- the extension
SELECT is((SELECT extrelocatable FROM pg_extension WHERE extname = 'leadscore'), false, 'not relocatable');
SELECT is((SELECT trusted FROM pg_available_extension_versions WHERE name = 'leadscore' AND installed), false, 'not trusted');
SELECT is((SELECT schema FROM pg_available_extension_versions WHERE name = 'leadscore' AND installed), NULL, 'no schema in the control file');
SELECT is_empty($$SELECT oid::regprocedure FROM pg_proc WHERE pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND prosecdef$$,
	'nothing is SECURITY DEFINER');
SELECT is_empty($$SELECT oid::regprocedure FROM pg_proc WHERE pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
	AND prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) AND has_function_privilege('public', oid, 'EXECUTE')$$,
	'no trigger function can be called by PUBLIC');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
	WHERE relkind = 'r' AND relnamespace <> 'leadscore_internal'::regnamespace$$, 'every table of the extension is internal');
SELECT set_eq($$SELECT DISTINCT a.grantee::regrole::text, a.privilege_type FROM pg_class c, aclexplode(relacl) a
	WHERE relnamespace = 'leadscore_internal'::regnamespace AND relkind IN ('r', 'S') AND a.grantee <> relowner
	AND NOT (relname = 'dump_seq' AND a.privilege_type = 'UPDATE')$$,	-- which is in dumps
	$$VALUES ('pg_database_owner', 'SELECT'), ('pg_database_owner', 'INSERT')$$,
	'the owner of the database dumps and restores them, nobody else reaches them');
SELECT is_empty($$SELECT oid::regclass FROM pg_class WHERE relnamespace = 'leadscore_internal'::regnamespace AND relrowsecurity$$,
	'no row security, which pg_dump could not pass');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
	WHERE relkind = 'v' AND pg_relation_is_updatable(c.oid, false) <> 0
	AND (has_any_column_privilege('public', c.oid, 'INSERT, UPDATE') OR has_table_privilege('public', c.oid, 'DELETE, TRUNCATE'))$$, 'no view that all may write hands that, or locks, down to a table');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c, pg_extension e WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
	AND relkind = 'r' AND relname LIKE 'lead\_%' AND extname = 'leadscore' AND NOT c.oid = ANY (extconfig)$$,
	'every table of the extension is dumped');
SELECT is_empty($$SELECT conrelid::regclass, conname FROM pg_constraint WHERE contype = 'f' AND connamespace = 'leadscore_internal'::regnamespace$$,
	'a parallel restore, which loads tables of extensions in any order, violates no foreign key');

-- comments
SELECT is_empty($$SELECT oid::regprocedure FROM pg_proc WHERE pronamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace)
	AND obj_description(oid, 'pg_proc') IS NULL$$, 'every function has a comment');
SELECT is_empty($$SELECT oid::regclass FROM pg_class WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND relkind IN ('r', 'p', 'v')
	AND obj_description(oid, 'pg_class') IS NULL$$, 'every table and view has a comment');
SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_class c JOIN pg_attribute ON attrelid = c.oid
	WHERE relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND relkind IN ('r', 'p', 'v') AND attnum > 0 AND NOT attisdropped
	AND col_description(attrelid, attnum) IS NULL$$, 'every column has a comment');

-- a model
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = c.oid
	WHERE relname LIKE '%\_catalog' AND relnamespace IN ('leadscore'::regnamespace, 'leadscore_internal'::regnamespace) AND deptype = 'e'$$,
	'tables and views of a model are no members of the extension');
SELECT columns_are('leadscore', 'score_catalog', '{contact_id,score,fit,engagement,grade,stage,stage_since,disqualified,has_contact,last_event_at,scored_at,rules_version,state,top_score}'::name[]);
SELECT columns_are('leadscore', 'live_catalog', '{contact_id,score,fit,engagement,grade,stage,stage_since,disqualified,has_contact,last_event_at,scored_at}'::name[]);
SELECT columns_are('leadscore', 'history_catalog', '{contact_id,from_stage,to_stage,score,changed_at,recorded_at,cause,reason}'::name[]);
SELECT columns_are('leadscore', 'funnel_daily_catalog', '{day,stage,grade,contacts,entered,left,score_sum}'::name[]);
SELECT columns_are('leadscore', 'daily_catalog', '{day,contact_id,score,fit,engagement,grade,stage}'::name[]);
SELECT col_is_pk('leadscore', 'daily_catalog', '{day,contact_id}'::name[], 'a contact has one row a day');
SELECT columns_are('leadscore', 'due_catalog', '{due_at,drift,contact_id}'::name[]);
SELECT col_is_pk('leadscore', 'due_catalog', '{due_at,drift,contact_id}'::name[], 'due rows are found by their key, in the order of which they are worked off');
SELECT col_is_pk('leadscore', 'score_catalog', 'contact_id', 'the contact is the key');
SELECT is((SELECT array_agg(indexrelid::regclass::text ORDER BY indexrelid) FROM pg_index WHERE indrelid = 'leadscore.score_catalog'::regclass),
	'{leadscore.score_catalog_pkey,leadscore.score_catalog_top_score_idx}'::text[], 'there is no index but the key and that of the highest scores');
SELECT ok((SELECT 'fillfactor=45' = ANY (reloptions) FROM pg_class WHERE oid = 'leadscore.score_catalog'::regclass), 'there is room for HOT updates');
SELECT set_eq($$SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger WHERE tgname LIKE 'leadscore\_%' AND NOT tgisinternal
	AND tgrelid IN ('public.catalog_contact'::regclass, 'public.catalog_event'::regclass)$$,
	$$SELECT t, 'leadscore_' || n FROM unnest('{catalog_contact,catalog_event}'::text[]) t, unnest('{enter,insert,update,delete,truncate,apply,apply_truncate}'::text[]) n$$,
	'both tables have the triggers');
SELECT leadscore.drop_model('catalog');
SELECT is_empty($$SELECT tgname FROM pg_trigger WHERE tgname LIKE 'leadscore\_%'
	AND tgrelid IN ('public.catalog_contact'::regclass, 'public.catalog_event'::regclass)$$, 'which go with the model');
SELECT * FROM finish();
ROLLBACK;
