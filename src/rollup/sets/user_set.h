/*
 * user_set.h
 *
 * Exact sets of users by their 32-bit numbers: roaring bitmaps in memory, the
 * SQL type fi_user_set on disk (a varlena that holds the portable serialization).
 *
 * A set belongs to the memory context that was current when it was made and
 * ends with it, also when that is because of an ERROR. Its bitmap is malloc'ed,
 * so the context's own size says nothing about it.
 */
#ifndef FAST_INGEST_USER_SET_H
#define FAST_INGEST_USER_SET_H

typedef struct UserSet UserSet;

/* A set of nobody. */
extern UserSet *UserSetCreate(void);

/*
 * Free the set's bitmap before its context does; some 50 bytes stay until then.
 * The set cannot be used any more.
 */
extern void UserSetFree(UserSet *set);

/* The set of a detoasted fi_user_set. Error XX001 if it is damaged. */
extern UserSet *UserSetRead(struct varlena *value);

extern void UserSetAdd(UserSet *set, uint32 user);

/* Fastest where the users ascend. */
extern void UserSetAddMany(UserSet *set, size_t n, const uint32 *users);

extern void UserSetUnion(UserSet *set, const UserSet *other);

/* Unite with an fi_user_set, detoasted or not. Error XX001 if it is damaged. */
extern void UserSetUnionDatum(UserSet *set, Datum value);

/* Keep the users who are in both. */
extern void UserSetIntersect(UserSet *set, UserSet *other);

/* Take out the users of the other one. */
extern void UserSetSubtract(UserSet *set, UserSet *other);

extern bool UserSetContains(UserSet *set, uint32 user);
extern bool UserSetEquals(UserSet *set, UserSet *other);
extern uint64 UserSetCardinality(UserSet *set);

/* A palloc'ed fi_user_set. Error 54000 if it would be over 1 GB. */
extern Datum UserSetDatum(UserSet *set);

/* All users in order, palloc'ed; the array may be over 1 GB. */
extern uint32 *UserSetNumbers(UserSet *set, uint64 *n);

#endif
