-- The tables of leadscore_internal as users see them: a view each, of the same
-- name and with the same comments.

DO $$
DECLARE
	base record;
	col record;
BEGIN
	FOR base IN
		SELECT c.oid, c.relname, pg_catalog.obj_description(c.oid, 'pg_class') AS comment
		  FROM pg_catalog.pg_class c
		 WHERE c.relnamespace OPERATOR(pg_catalog.=) 'leadscore_internal'::pg_catalog.regnamespace
		   AND c.relkind OPERATOR(pg_catalog.=) 'r'
		 ORDER BY c.relname
	LOOP
		EXECUTE pg_catalog.format('CREATE VIEW leadscore.%1$I WITH (security_invoker) AS SELECT %2$s FROM leadscore_internal.%1$I m',
								  base.relname,
								  (SELECT pg_catalog.string_agg(CASE a.attname WHEN 'accepted_owner'
										  THEN '(SELECT c.relowner::pg_catalog.regrole FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) m.contacts) AS owner'
										  ELSE pg_catalog.quote_ident(a.attname) END, ', ' ORDER BY a.attnum)
									 FROM pg_catalog.pg_attribute a
									WHERE a.attrelid OPERATOR(pg_catalog.=) base.oid
									  AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped));
		EXECUTE pg_catalog.format('COMMENT ON VIEW leadscore.%I IS %L', base.relname, base.comment);
		EXECUTE pg_catalog.format('GRANT SELECT ON leadscore.%I TO PUBLIC', base.relname);
		FOR col IN
			SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) AS comment
			  FROM pg_catalog.pg_attribute a
			 WHERE a.attrelid OPERATOR(pg_catalog.=) base.oid
			   AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
			   AND a.attname OPERATOR(pg_catalog.<>) 'accepted_owner'
		LOOP
			EXECUTE pg_catalog.format('COMMENT ON COLUMN leadscore.%I.%I IS %L',
									  base.relname, col.attname, col.comment);
		END LOOP;
	END LOOP;
END
$$;

COMMENT ON COLUMN leadscore.lead_model.owner IS
	'owner of the contact table: whoever has its privileges manages the model, and its rights are used to read tables and run rules';

GRANT UPDATE (max_drift, max_drift_ratio, min_score, max_score, enabled, daily)
	ON leadscore.lead_model TO PUBLIC;
GRANT UPDATE (weight, min_points, max_points) ON leadscore.lead_category TO PUBLIC;
GRANT INSERT, UPDATE, DELETE ON leadscore.lead_rule, leadscore.lead_stage,
	leadscore.lead_grade, leadscore.lead_action TO PUBLIC;
GRANT DELETE ON leadscore.lead_outbox TO PUBLIC;
GRANT UPDATE (status, available_at, taken_by, attempts, last_error, finished_at)
	ON leadscore.lead_outbox TO PUBLIC;
