-- What is refused when a DBA writes to the tables of catalog.sql, and what
-- follows when nothing is.  Triggers of one table and time run by name.

CREATE FUNCTION leadscore_internal.check_rule() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_rule';
REVOKE ALL ON FUNCTION leadscore_internal.check_rule() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.check_rule() IS
	'trigger: fills in the defaults of a rule and refuses one that could not be evaluated';

CREATE FUNCTION leadscore_internal.advise_rule() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_advise_rule';
REVOKE ALL ON FUNCTION leadscore_internal.advise_rule() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.advise_rule() IS
	'trigger: notices about rules that match nothing, or everything';

CREATE FUNCTION leadscore_internal.rules_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_rules_changed';
REVOKE ALL ON FUNCTION leadscore_internal.rules_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.rules_changed() IS
	'trigger: gives the models of changed rules a new version and counts rules that match something new';

CREATE FUNCTION leadscore_internal.check_stage() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_stage';
REVOKE ALL ON FUNCTION leadscore_internal.check_stage() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.check_stage() IS
	'trigger: refuses stages without meaning, and to delete the first one';

CREATE FUNCTION leadscore_internal.check_grade() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_grade';
REVOKE ALL ON FUNCTION leadscore_internal.check_grade() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.check_grade() IS
	'trigger: refuses grades without meaning';

CREATE FUNCTION leadscore_internal.check_category() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_category_row';
REVOKE ALL ON FUNCTION leadscore_internal.check_category() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.check_category() IS
	'trigger: refuses weights and limits of categories without meaning';

CREATE FUNCTION leadscore_internal.check_model() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_check_model';
REVOKE ALL ON FUNCTION leadscore_internal.check_model() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.check_model() IS
	'trigger: refuses drifts and limits of models without meaning';

CREATE FUNCTION leadscore_internal.sheet_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_sheet_changed';
REVOKE ALL ON FUNCTION leadscore_internal.sheet_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.sheet_changed() IS
	'trigger: gives the models of changed stages, grades, categories and actions a new version';

CREATE FUNCTION leadscore_internal.model_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_model_row_changed';
REVOKE ALL ON FUNCTION leadscore_internal.model_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.model_changed() IS
	'trigger: gives a changed model a new version, and counts anew what it missed while it was not enabled';

CREATE FUNCTION leadscore_internal.enter_sheets() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_enter_sheets';
REVOKE ALL ON FUNCTION leadscore_internal.enter_sheets() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.enter_sheets() IS
	'trigger: score sheets are changed by one transaction at a time';

CREATE FUNCTION leadscore_internal.refuse_truncate() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_refuse_truncate';
REVOKE ALL ON FUNCTION leadscore_internal.refuse_truncate() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.refuse_truncate() IS
	'trigger: refuses TRUNCATE, which scores would not follow';

CREATE FUNCTION leadscore_internal.refresh_changed() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_refresh_changed';
REVOKE ALL ON FUNCTION leadscore_internal.refresh_changed() FROM PUBLIC;
COMMENT ON FUNCTION leadscore_internal.refresh_changed() IS
	'trigger, at the end of the transaction: brings the stored scores of changed models up to date';

CREATE TRIGGER enter_sheets BEFORE INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter_sheets();
CREATE TRIGGER enter_sheets BEFORE INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_category
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter_sheets();
CREATE TRIGGER enter_sheets BEFORE INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_source
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter_sheets();
CREATE TRIGGER enter_sheets BEFORE INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_rule
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter_sheets();
CREATE TRIGGER enter_sheets BEFORE INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_stage
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter_sheets();
CREATE TRIGGER enter_sheets BEFORE INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_grade
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.enter_sheets();

CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE ON leadscore_internal.lead_rule
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_rule();
CREATE TRIGGER advise_rule AFTER INSERT OR UPDATE ON leadscore_internal.lead_rule
	FOR EACH ROW WHEN (NEW.counted_version IS NULL)
	EXECUTE FUNCTION leadscore_internal.advise_rule();
CREATE TRIGGER rules_inserted AFTER INSERT ON leadscore_internal.lead_rule
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.rules_changed();
CREATE TRIGGER rules_updated AFTER UPDATE ON leadscore_internal.lead_rule
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.rules_changed();
CREATE TRIGGER rules_deleted AFTER DELETE ON leadscore_internal.lead_rule
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.rules_changed();

CREATE TRIGGER check_stage BEFORE INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_stage
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_stage();
CREATE TRIGGER stages_inserted AFTER INSERT ON leadscore_internal.lead_stage
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sheet_changed();
CREATE TRIGGER stages_updated AFTER UPDATE ON leadscore_internal.lead_stage
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sheet_changed();
CREATE TRIGGER stages_deleted AFTER DELETE ON leadscore_internal.lead_stage
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sheet_changed();

CREATE TRIGGER check_grade BEFORE INSERT OR UPDATE ON leadscore_internal.lead_grade
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_grade();
CREATE TRIGGER grades_inserted AFTER INSERT ON leadscore_internal.lead_grade
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sheet_changed();
CREATE TRIGGER grades_updated AFTER UPDATE ON leadscore_internal.lead_grade
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sheet_changed();
CREATE TRIGGER grades_deleted AFTER DELETE ON leadscore_internal.lead_grade
	REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sheet_changed();

-- categories come and go with their model only
CREATE TRIGGER check_category BEFORE UPDATE ON leadscore_internal.lead_category
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_category();
CREATE TRIGGER categories_updated AFTER UPDATE ON leadscore_internal.lead_category
	REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.sheet_changed();

CREATE TRIGGER check_model BEFORE UPDATE ON leadscore_internal.lead_model
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.check_model();
CREATE TRIGGER model_changed AFTER UPDATE ON leadscore_internal.lead_model
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.model_changed();

CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore_internal.lead_model
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore_internal.lead_category
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore_internal.lead_source
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore_internal.lead_rule
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore_internal.lead_stage
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.refuse_truncate();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON leadscore_internal.lead_grade
	FOR EACH STATEMENT EXECUTE FUNCTION leadscore_internal.refuse_truncate();

-- At the end of the transaction, so that rules can be changed, looked at and
-- rolled back at no cost.
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_model
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_category
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_rule
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_stage
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.refresh_changed();
CREATE CONSTRAINT TRIGGER refresh_changed AFTER INSERT OR UPDATE OR DELETE ON leadscore_internal.lead_grade
	DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION leadscore_internal.refresh_changed();
