/*
 * act_as_owner.h
 *
 * With whose rights our code runs.
 *
 * Users who write events, ask for metrics or refresh the rollup need no rights on the tables
 * behind it. They need not even be allowed to see those tables, which contain user_ids. Our
 * functions are not SECURITY DEFINER, because then all of their code would run as one role.
 * It runs as two:
 *
 * - The owner of the rollup, usually a superuser, reads and writes the tables of the rollup.
 *   Nobody else can put a function on these tables.
 * - The owner of events, who may be an ordinary role, reads raw rows, evaluates breakdowns
 *   over them and makes partitions. Casts, constraints, indexes and functions that belong to
 *   the table's definition run with its owner's rights, and so do the expressions of
 *   breakdowns. REINDEX and ANALYZE do the same.
 */
#ifndef FAST_INGEST_ACT_AS_OWNER_H
#define FAST_INGEST_ACT_AS_OWNER_H

/* The user to return to. */
typedef struct
{
	Oid user;
	int security;
	int settings; /* nesting level */
} SavedUser;

/*
 * Act as an owner until ActAsCallerAgain() or an ERROR, with the restrictions that REINDEX
 * and ANALYZE have. search_path is pinned meanwhile: hooks and triggers start with that of
 * the user who inserts or drops a partition. An ERROR if the table does not exist.
 */
extern SavedUser ActAsRollupOwner(void);
extern SavedUser ActAsEventsOwner(void);

/* Act as another role, in the same way. */
extern SavedUser ActAsRole(Oid role);

/* Become the user again who was current before. */
extern void ActAsCallerAgain(SavedUser saved);

#endif
