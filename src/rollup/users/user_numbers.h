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

/* Most users, including erased ones: numbers are positive and of type integer. */
#define MAX_USERS PG_INT32_MAX

/*
 * What a snapshot shows of numbers, all of which committed transactions have given out. A user who
 * has some number in a snapshot has it in every other one that shows as many erased users, if so
 * many numbers are given out there; otherwise the user has none there.
 */
typedef struct
{
	uint32 given; /* numbers below it */
	int64 erased; /* users, since there are any */
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
