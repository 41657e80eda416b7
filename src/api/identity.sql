-- Identity resolution: merged contacts, identified visitors.  Functions with a contact
-- have two overloads, with the key in its own type or as text.

CREATE FUNCTION leadscore.identify(model text, visitor text, contact anyelement) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_identify';
COMMENT ON FUNCTION leadscore.identify(text, text, anyelement) IS
	'says which contact a visitor is: the visitor''s anonymous events, those that are there and those to come, count for the contact';
CREATE FUNCTION leadscore.identify(model text, visitor text, contact text) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_identify';
COMMENT ON FUNCTION leadscore.identify(text, text, text) IS
	'says which contact a visitor is: the visitor''s anonymous events, those that are there and those to come, count for the contact';

CREATE FUNCTION leadscore.unidentify(model text, visitor text) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_unidentify';
COMMENT ON FUNCTION leadscore.unidentify(text, text) IS
	'takes back leadscore.identify(): the visitor''s anonymous events count for the visitor again';

CREATE FUNCTION leadscore.merge_contacts(model text, target anyelement, source anyelement) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_merge_contacts';
COMMENT ON FUNCTION leadscore.merge_contacts(text, anyelement, anyelement) IS
	'has the events of a contact, those that are there and those to come, count for another, who is the same person';
CREATE FUNCTION leadscore.merge_contacts(model text, target text, source text) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_merge_contacts';
COMMENT ON FUNCTION leadscore.merge_contacts(text, text, text) IS
	'has the events of a contact, those that are there and those to come, count for another, who is the same person';

CREATE FUNCTION leadscore.unmerge(model text, source anyelement) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_unmerge';
COMMENT ON FUNCTION leadscore.unmerge(text, anyelement) IS
	'takes back leadscore.merge_contacts(): the events of the contact count for itself again';
CREATE FUNCTION leadscore.unmerge(model text, source text) RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'ls_unmerge';
COMMENT ON FUNCTION leadscore.unmerge(text, text) IS
	'takes back leadscore.merge_contacts(): the events of the contact count for itself again';

CREATE FUNCTION leadscore.identities(model text, contact anyelement,
		OUT kind text, OUT key text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 5
	AS 'MODULE_PATHNAME', 'ls_identities';
COMMENT ON FUNCTION leadscore.identities(text, anyelement) IS
	'whose events count for a contact: its own, those of contacts merged into it, those of visitors identified as any of them';
CREATE FUNCTION leadscore.identities(model text, contact text,
		OUT kind text, OUT key text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 5
	AS 'MODULE_PATHNAME', 'ls_identities';
COMMENT ON FUNCTION leadscore.identities(text, text) IS
	'whose events count for a contact: its own, those of contacts merged into it, those of visitors identified as any of them';

-- The changes of stage of a contact and of all that count for it, as far as the caller
-- may read them.
CREATE FUNCTION leadscore.history_of(model text, contact text,
		OUT kind text, OUT key text, OUT from_stage text, OUT to_stage text, OUT score float8,
		OUT changed_at timestamptz, OUT recorded_at timestamptz, OUT cause text, OUT reason text)
	RETURNS SETOF record
	LANGUAGE c STABLE ROWS 20
	AS 'MODULE_PATHNAME', 'ls_history_of';
COMMENT ON FUNCTION leadscore.history_of(text, text) IS
	'changes of stage of a contact, of contacts merged into it, and of visitors identified as any of them';
