/*
 * user_numbers.h
 *
 * Numbers of users, by their hashes: fast_ingest.users. Sets of users are sets of numbers.
 * Numbers count from 0, and each is given out once: the number of an erased user (see
 * erase_user.c) is never used again. Only the refresh adds users.
 */
#ifndef FAST_INGEST_USER_NUMBERS_H
#define FAST_INGEST_USER_NUMBERS_H

#include "utils/snapshot.h"

#include "rollup/users/user_hash.h"

#define USER_UNKNOWN PG_UINT32_MAX

/* Kept instead of a number of a user who was looked up and has none. */
#define USER_ABSENT (USER_UNKNOWN - 1)

/* Most users, including erased ones: numbers are positive and of type integer. */
#define MAX_USERS PG_INT32_MAX

/*
 * How many numbers a snapshot shows, if committed transactions have given them out. Two snapshots
 * with as many erased ones show the same users with the same numbers, up to the lesser "given".
 */
typedef struct
{
	int64 given;  /* numbers below it */
	int64 erased; /* how many of them were taken away */
} UserNumbersState;

/*
 * Look up n hashes, which may come several times; numbers[i] is set to the number of
 * hashes[i], or to USER_UNKNOWN.
 */
extern void UserNumbersLookup(Snapshot snapshot, int n, const UserHash *hashes, uint32 *numbers);

/*
 * Look up n distinct hashes, and add those without a number. They get numbers from *next on,
 * which is advanced. Needs SPI and the refresh's lock. An ERROR (54000) if there would be more
 * than MAX_USERS.
 */
extern void UserNumbersAssign(int n, const UserHash *hashes, uint32 *numbers, int64 *next);

#endif
