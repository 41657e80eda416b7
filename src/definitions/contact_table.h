/*-------------------------------------------------------------------------
 *
 * contact_table.h
 *		Whether a model can rely on its contact table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_CONTACT_TABLE_H
#define LEADSCORE_CONTACT_TABLE_H

#include "postgres.h"

#include "utils/relcache.h"

#include "definitions/lead_tables.h"

extern bool ls_contacts_undecided;

extern bool ls_contact_table_rows_hidden(Oid relation, Oid role);
extern bool ls_contact_table_column_unique(Relation rel, AttrNumber attno);
extern ErrorData *ls_contacts_error(const LsModelRow *model);

#endif							/* LEADSCORE_CONTACT_TABLE_H */
