/*
 * user_numbers.h
 *
 * The dictionary, fast_ingest.users: user hash -> user number. Numbers count from 0
 * and are given once: who is erased (see erase_user.c) leaves a gap. Only the refresh adds to it.
 */
#ifndef FAST_INGEST_USER_NUMBERS_H
#define FAST_INGEST_USER_NUMBERS_H

#include "utils/snapshot.h"

#include "rollup/users/user_hash.h"

#define USER_UNKNOWN PG_UINT32_MAX

/* Largest number of users, erased ones among them: numbers are a positive int4. */
#define MAX_USERS PG_INT32_MAX

/* Look up n hashes; numbers[i] is that of hashes[i], or USER_UNKNOWN. */
extern void UserNumbersLookup(Snapshot snapshot, int n, const UserHash *hashes, uint32 *numbers);

/*
 * Look up n distinct hashes and add those that are not there, with numbers from
 * *next on, which is advanced. Needs SPI and the refresh's lock. An ERROR when
 * there are MAX_USERS.
 */
extern void UserNumbersAssign(int n, const UserHash *hashes, uint32 *numbers, int64 *next);

#endif
