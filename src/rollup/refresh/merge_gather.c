/*
 * merge_gather.c
 *
 * Gathers groups.
 */
#include "postgres.h"

#include "rollup/refresh/merge_private.h"

#include "common/hashfn.h"
#include "utils/builtins.h"

#include "base/grow_array.h"
#include "base/seed.h"

/* Most groups, and most users of groups, that are gathered before they are merged. */
#define MAX_GROUPS 100000
#define MAX_REFS (4 * 1024 * 1024)

typedef struct
{
	MergeGroupKey key;
	MergeGroup *group;
	char status;
} MergeGroupEntry;

static inline uint32
hash_group_key(const MergeGroupKey *id)
{
	return (uint32) hash_bytes_extended((const unsigned char *) id, sizeof(*id), ProcessSeed());
}

#define SH_PREFIX mgroups
#define SH_ELEMENT_TYPE MergeGroupEntry
#define SH_KEY_TYPE MergeGroupKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_group_key(&(key))
#define SH_EQUAL(table, a, b) (memcmp(&(a), &(b), sizeof(MergeGroupKey)) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

void
MergerReset(Merger *merger)
{
	MemoryContextReset(merger->memory);
	merger->texts = TextMapCreate(merger->memory, 256);
	merger->users = UserMapCreate(merger->memory, 1024);
	merger->groups = mgroups_create(merger->memory, 256, NULL);
	merger->text_list = NULL;
	merger->user_list = NULL;
	merger->group_list = NULL;
	merger->ntexts = merger->nusers = merger->ngroups = 0;
	merger->text_room = merger->user_room = merger->group_room = 0;
	merger->nrefs = 0;
}

Merger *
MergerCreate(RollupState *state)
{
	Merger *merger = palloc0(sizeof(Merger));

	merger->state = state;
	merger->parent = CurrentMemoryContext;
	merger->touched = (TimeRange){TIME_END, TIME_BEGIN};
	merger->memory =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest merge", ALLOCSET_DEFAULT_SIZES);
	MergerReset(merger);
	return merger;
}

uint32
MergerText(Merger *merger, const char *text, size_t len)
{
	bool found;
	TextMapEntry *entry = TextMapAdd(merger->texts, (Slice){text, len}, &found);

	if (!found)
	{
		merger->text_list = GrowArray(merger->memory, merger->text_list, merger->ntexts,
									  &merger->text_room, sizeof(Slice));
		merger->text_list[merger->ntexts] = entry->text;
		entry->number = merger->ntexts++;
	}
	return entry->number;
}

Datum
MergerTextDatum(const Merger *merger, uint32 number)
{
	Slice text = merger->text_list[number];

	return PointerGetDatum(cstring_to_text_with_len(text.data, (int) text.len));
}

uint32
MergerUser(Merger *merger, UserHash hash)
{
	bool found;
	UserMapEntry *entry = UserMapAdd(merger->users, hash, &found);

	if (!found)
	{
		merger->user_list = GrowArray(merger->memory, merger->user_list, merger->nusers,
									  &merger->user_room, sizeof(UserHash));
		merger->user_list[merger->nusers] = hash;
		entry->number = merger->nusers++;
	}
	return entry->number;
}

MergeGroup *
MergerGroup(Merger *merger, const Breakdown *breakdown, uint32 event_name, uint32 scope, uint32 key,
			TimestampTz bucket)
{
	return MergerGroupOf(merger, (MergeGroupKey){breakdown, bucket, event_name, scope, key, 0, 0});
}

MergeGroup *
MergerGroupOf(Merger *merger, MergeGroupKey id)
{
	bool found;
	MergeGroupEntry *entry = mgroups_insert(merger->groups, id, &found);

	if (!found)
	{
		MergeGroup *group = MemoryContextAllocZero(merger->memory, sizeof(MergeGroup));

		group->merger = merger;
		group->key = id;
		entry->group = group;
		merger->group_list = GrowArray(merger->memory, merger->group_list, merger->ngroups,
									   &merger->group_room, sizeof(MergeGroup *));
		merger->group_list[merger->ngroups++] = group;
		merger->touched.low = Min(merger->touched.low, id.bucket);
		merger->touched.high = Max(merger->touched.high, id.bucket);
	}
	return entry->group;
}

void
MergeGroupEvents(MergeGroup *group, int64 events)
{
	group->events += events;
}

void
MergeGroupUser(MergeGroup *group, uint32 user)
{
	group->users =
		GrowArray(group->merger->memory, group->users, group->nusers, &group->room, sizeof(uint32));
	group->users[group->nusers++] = user;
	group->merger->nrefs++;
}

void
MergeGroupTime(MergeGroup *group, uint32 offset, uint32 user)
{
	group->times = GrowArray(group->merger->memory, group->times, group->ntimes, &group->time_room,
							 sizeof(MinuteTime));
	group->times[group->ntimes++] = (MinuteTime){offset, user};
	group->merger->nrefs++;
}

void
MergeGroupMove(MergeGroup *group, MergeGroup *other)
{
	MergeGroupEvents(other, group->events);
	for (uint32 i = 0; i < group->nusers; i++)
		MergeGroupUser(other, group->users[i]);
	for (uint32 i = 0; i < group->ntimes; i++)
		MergeGroupTime(other, group->times[i].offset, group->times[i].user);
	group->events = 0;
}

bool
MergerIsFull(const Merger *merger)
{
	return merger->ngroups >= MAX_GROUPS || merger->nrefs >= MAX_REFS;
}

TimeRange
MergerTouched(const Merger *merger)
{
	return merger->touched;
}

int64
MergerGroupsMerged(const Merger *merger)
{
	return merger->merged;
}
