-- Tables that feed models, each with its partitions and children: the tables that have
-- leadscore's triggers, and what a change of tables is compared with.

CREATE TABLE leadscore_internal.lead_relation (
	model text COLLATE "C" NOT NULL,
	source text COLLATE "C",
	relation regclass NOT NULL,
	UNIQUE NULLS NOT DISTINCT (model, source, relation)
);
CREATE INDEX lead_relation_relation ON leadscore_internal.lead_relation (relation);
COMMENT ON TABLE leadscore_internal.lead_relation IS
	'every table that feeds a model: the contact table (source is null) and attached ones, with their partitions and children';
COMMENT ON COLUMN leadscore_internal.lead_relation.model IS 'the model that is fed';
COMMENT ON COLUMN leadscore_internal.lead_relation.source IS 'the source that the table belongs to; null: it is the contact table or a part of it';
COMMENT ON COLUMN leadscore_internal.lead_relation.relation IS 'the table, which has triggers named leadscore_...';


CREATE FUNCTION leadscore.attach(model text, events regclass, contact text, occurred_at text,
		event text DEFAULT NULL, source text DEFAULT NULL, time_zone text DEFAULT NULL,
		visitor text DEFAULT NULL, on_delete text DEFAULT 'retract', mode text DEFAULT 'immediate') RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_attach';
COMMENT ON FUNCTION leadscore.attach(text, regclass, text, text, text, text, text, text, text, text) IS
	'has an event table feed a model, as a source named after the table unless named; the rows that are there are counted';

CREATE FUNCTION leadscore.detach(model text, source text, purged text DEFAULT 'keep') RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_detach';
COMMENT ON FUNCTION leadscore.detach(text, text, text) IS
	'takes a source from a model: what it contributed leaves the scores, its rules wait until it is attached again; so does what purged events gave, unless it is to be forgotten';
