/*
 * user_set.h
 *
 * Exact sets of users, by their 32-bit numbers: roaring bitmaps in memory, and the SQL type
 * fi_user_set on disk, a varlena that holds the portable serialization.
 *
 * A set belongs to the memory context that was current when it was created, and is freed with
 * it, also after an ERROR. Its bitmap is allocated by malloc(), so it does not count in the
 * context's size. Whatever runs out of memory here is ERROR 53200.
 */
#ifndef FAST_INGEST_USER_SET_H
#define FAST_INGEST_USER_SET_H

typedef struct UserSet UserSet;

/* An empty set. */
extern UserSet *UserSetCreate(void);

/*
 * Free the bitmap of a set, which cannot be used afterwards. Some 50 bytes of the set stay
 * until its context is reset.
 */
extern void UserSetFree(UserSet *set);

/* Read a detoasted fi_user_set. Error XX001 if it is damaged. */
extern UserSet *UserSetRead(struct varlena *value);

/* Add one user. UserSetAddMany() is faster for many. */
extern void UserSetAdd(UserSet *set, uint32 user);

/* Add n users in any order, which may come several times. Ascending ones are the fastest. */
extern void UserSetAddMany(UserSet *set, size_t n, const uint32 *users);

/* The same for users in no order, whom it sorts in place: faster where they are many. */
extern void UserSetAddUnordered(UserSet *set, size_t n, uint32 *users);

/* Add the users of another set. */
extern void UserSetUnion(UserSet *set, const UserSet *other);

/* Add the users of an fi_user_set, detoasted or not. Error XX001 if it is damaged. */
extern void UserSetUnionDatum(UserSet *set, Datum value);

/* Keep only the users who are in the other set, too. */
extern void UserSetIntersect(UserSet *set, UserSet *other);

/* Remove the users of the other set. */
extern void UserSetSubtract(UserSet *set, UserSet *other);

/* Is a user in the set? Do two sets have the same users? How many users are there? */
extern bool UserSetContains(UserSet *set, uint32 user);
extern bool UserSetEquals(UserSet *set, UserSet *other);
extern uint64 UserSetCardinality(UserSet *set);

/* A palloc'ed fi_user_set. Error 54000 if it would be over 1 GB. */
extern Datum UserSetDatum(UserSet *set);

/* All users in ascending order, and their number; palloc'ed, possibly over 1 GB. */
extern uint32 *UserSetNumbers(UserSet *set, uint64 *n);

#endif
