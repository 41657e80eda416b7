-- The tables of leadscore_internal as users see them: a view of each, with the same
-- name and comments.  Those of definition_view.sql can be written.

DO $$
DECLARE
	base record;
	col record;
BEGIN
	FOR base IN
		SELECT c.oid, c.relname, pg_catalog.obj_description(c.oid, 'pg_class') AS comment,
			   pg_catalog.to_regclass(pg_catalog.format('leadscore.%I', c.relname)) IS NULL AS missing
		  FROM pg_catalog.pg_class c
		 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'leadscore_internal'::pg_catalog.regnamespace
		   AND c.relkind OPERATOR(pg_catalog.=) 'r'
		   -- of model_access.sql; and of no use to users
		   AND c.relname OPERATOR(pg_catalog.<>) ALL (ARRAY['lead_worker_error', 'top_scores'])
		 ORDER BY c.relname
	LOOP
		IF base.missing THEN
			EXECUTE pg_catalog.format('CREATE VIEW leadscore.%1$I WITH (security_barrier) AS'
									  ' SELECT * FROM leadscore_internal.%1$I'
									  ' WHERE model OPERATOR(pg_catalog.=) ANY'
									  ' ((SELECT leadscore_internal.managed_models())::pg_catalog.text[])', base.relname);
			EXECUTE pg_catalog.format('GRANT SELECT ON leadscore.%I TO PUBLIC', base.relname);
		END IF;
		EXECUTE pg_catalog.format('COMMENT ON VIEW leadscore.%I IS %L', base.relname, base.comment);
		FOR col IN
			SELECT v.attname, pg_catalog.col_description(a.attrelid, a.attnum) AS comment
			  FROM pg_catalog.pg_attribute a
			  JOIN pg_catalog.pg_attribute v ON v.attname OPERATOR(pg_catalog.=) a.attname
			   AND v.attrelid OPERATOR(pg_catalog.=) pg_catalog.format('leadscore.%I', base.relname)::pg_catalog.regclass
			 WHERE a.attrelid OPERATOR(pg_catalog.=) base.oid
			   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
		LOOP
			EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore.%I.%I IS %L',
									  base.relname, col.attname, col.comment);
		END LOOP;
	END LOOP;
END
$$;


COMMENT ON COLUMN leadscore.lead_model.owner IS
	'owner of the contact table: whoever has its privileges manages the model, and its rights are used to read tables and run rules';
