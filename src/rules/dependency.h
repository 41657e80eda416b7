/*-------------------------------------------------------------------------
 *
 * dependency.h
 *		What each part of a model depends on, and which parts an object concerns.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LEADSCORE_DEPENDENCY_H
#define LEADSCORE_DEPENDENCY_H

#include "postgres.h"

#include "base/reachable_code.h"
#include "definitions/lead_tables.h"

/* A name by which the text of an expression can refer to an object */
typedef struct LsObjectName
{
	char	   *schema;			/* NULL: it need not be written */
	char	   *name;
	bool		is_operator;
} LsObjectName;

/* What a command did to an object other than a table */
typedef struct LsObject
{
	Oid			classid;
	Oid			objid;
	bool		gone;			/* it was dropped */
	bool		moved;			/* it has another name or schema */
	bool		redefined;		/* what uses it may give other values now */
	Oid			source;			/* of a cast */
	Oid			target;
	List	   *names;			/* of LsObjectName, former ones included */
	char	   *became;			/* the message about one that moved, or NULL */
} LsObject;

/* What uses some objects: by name, or without one */
typedef struct LsUsers
{
	List	   *names;			/* of LsObjectName */
	bool		unnamed;		/* types, casts, indexes ... use them */
} LsUsers;

/* A rule or the condition of a stage, and what it reaches */
typedef struct LsDependent
{
	int64		rule_id;		/* 0: a stage */
	char	   *stage;
	LsReach		reach;
	bool		broken;			/* it could not be compiled */
} LsDependent;

/* What a model depends on */
typedef struct LsDependencies
{
	char	   *model;
	int64		version;		/* of its definition */
	MemoryContext context;
	List	   *parts;			/* of LsDependent */
	LsReach		reach;			/* of the model as a whole: key, tables, rules */
} LsDependencies;

extern LsDependencies *ls_dependencies(const LsModelRow *row, bool make);
extern void ls_dependencies_forget(const char *model);
extern bool ls_dependencies_has_values(const LsModelRow *row, Oid type);
extern LsDependent *ls_dependencies_rule(const LsDependencies *dependencies, int64 rule_id);
extern LsDependent *ls_dependencies_stage(const LsDependencies *dependencies, const char *stage);

extern void ls_dependencies_prepare(const List *objects);

extern LsObjectName *ls_dependency_object_name(const char *schema, const char *name, bool is_operator);
extern List *ls_dependency_object_names(Oid classid, Oid objid);
extern void ls_dependency_object_users(const List *objects, LsUsers *users);
extern bool ls_dependency_text_names(const char *text, List *names);
extern bool ls_dependency_rule_names(const LsRuleRow *rule, List *names);
extern bool ls_dependency_has(const LsReach *reach, const LsObject *object);

#endif							/* LEADSCORE_DEPENDENCY_H */
