/*
 * merge_private.h
 *
 * What has gathered: shared by merge_gather.c, which fills it, merge_key_limit.c, which limits
 * its keys, and merge_write.c, which merges it. Nobody else looks inside.
 */
#ifndef FAST_INGEST_MERGE_PRIVATE_H
#define FAST_INGEST_MERGE_PRIVATE_H

#include "utils/memutils.h"

#include "base/text_map.h"
#include "rollup/refresh/merge.h"
#include "rollup/users/user_map.h"

/* What identifies a group; without padding, for it is hashed as bytes. */
typedef struct
{
	const Breakdown *breakdown;
	TimestampTz bucket;
	uint32 event_name;
	uint32 scope;
	uint32 key;
	uint16 is_other;	  /* of keys: scope and key are "" */
	uint16 is_other_name; /* of event_names: event_name is "" */
} MergeGroupKey;

struct MergeGroup
{
	Merger *merger;
	MergeGroupKey key;
	int64 events;
	uint32 *users;
	uint32 nusers;
	uint32 room;
};

struct Merger
{
	RollupState *state;
	MemoryContext parent;
	MemoryContext memory; /* of all below; reset by a flush */
	TextMap *texts;
	Slice *text_list;
	uint32 ntexts;
	uint32 text_room;
	UserMap *users;
	UserHash *user_list;
	uint32 nusers;
	uint32 user_room;
	struct mgroups_hash *groups;
	MergeGroup **group_list;
	uint32 ngroups;
	uint32 group_room;
	uint64 nrefs;
	int64 merged;
	TimeRange touched; /* the buckets merged so far */
};

/* Begin anew, with nothing gathered. */
extern void MergerReset(Merger *merger);

/* The group of that identity. */
extern MergeGroup *MergerGroupOf(Merger *merger, MergeGroupKey id);

/*
 * Keep days below fast_ingest.max_event_names, and buckets below their breakdown's
 * max_keys (see key_limit.h). What does not fit is counted in groups of others; its own groups
 * stay, without events. Needs SPI.
 */
extern void MergerLimitKeys(Merger *merger);

#endif
