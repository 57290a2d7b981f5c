/*
 * delta_write.c
 *
 * Counts the rows of a statement in memory, and writes what they come to as
 * deltas.
 */
#include "postgres.h"

#include "rollup/delta/delta_format.h"

#include "access/heapam.h"
#include "access/table.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "base/compat.h"
#include "base/text_slice.h"
#include "rollup/delta/backlog.h"
#include "base/text_map.h"
#include "base/grow_array.h"
#include "base/seed.h"

/* Strings that a delta can number. */
#define MAX_STRINGS PG_UINT16_MAX

/* What makes a group of a section, and its number there. */
typedef struct
{
	uint64 names; /* numbers of event_name, scope, key */
	uint64 bucket;
} GroupKey;

typedef struct
{
	GroupKey key;
	uint32 number;
	char status;
} GroupEntry;

static inline uint32
hash_group(GroupKey key)
{
	return (uint32) hash_bytes_extended((const unsigned char *) &key, sizeof(key), ProcessSeed());
}

#define SH_PREFIX groups
#define SH_ELEMENT_TYPE GroupEntry
#define SH_KEY_TYPE GroupKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) hash_group(key)
#define SH_EQUAL(table, a, b) ((a).names == (b).names && (a).bucket == (b).bucket)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* An event of a section: which group, which user; -1 for none. */
typedef struct
{
	uint16 group;
	int32 user;
} Member;

typedef struct
{
	const Breakdown *breakdown;
	ExprState *key;
	ExprState *scope;
	groups_hash *lookup;
	DeltaGroup *groups;
	Member *members;
	uint32 ngroups;
	uint32 nmembers;
	uint32 group_room;
	uint32 member_room;
} Section;

typedef struct
{
	const BreakdownList *breakdowns;
	ExprContext *context;
	UserHasher *hasher;
	MemoryContext memory; /* of all below; reset with each delta */
	int nsections;
	Section *sections;
	TextMap *strings;
	StringInfoData string_bytes;
	uint32 *ends;
	uint32 nstrings;
	uint32 end_room;
	TextMap *users;
	UserHash *hashes;
	uint32 nusers;
	uint32 hash_room;
	int events;
	TimestampTz first;
	TimestampTz last;
} Builder;

/*
 * Begin an empty delta
 */
static void
builder_reset(Builder *builder)
{
	MemoryContext caller;

	MemoryContextReset(builder->memory);
	caller = MemoryContextSwitchTo(builder->memory);
	builder->strings = TextMapCreate(builder->memory, 64);
	builder->users = TextMapCreate(builder->memory, 256);
	initStringInfo(&builder->string_bytes);
	builder->ends = NULL;
	builder->hashes = NULL;
	builder->nstrings = builder->nusers = builder->end_room = builder->hash_room = 0;
	builder->events = 0;
	for (int i = 0; i < builder->nsections; i++)
	{
		Section *section = &builder->sections[i];

		section->lookup = groups_create(builder->memory, 16, NULL);
		section->groups = NULL;
		section->members = NULL;
		section->ngroups = section->nmembers = section->group_room = section->member_room = 0;
	}
	MemoryContextSwitchTo(caller);
}

/*
 * The number of a name, key or scope
 */
static uint16
string_number(Builder *builder, Slice text)
{
	char cut[ROLLUP_TEXT_SIZE];
	TextMapEntry *entry;
	bool found;

	if (text.len > ROLLUP_TEXT_SIZE)
	{
		text.len = RollupText(text.data, text.len, cut);
		text.data = cut;
	}
	entry = TextMapAdd(builder->strings, text, &found);
	if (!found)
	{
		builder->ends = GrowArray(builder->memory, builder->ends, builder->nstrings,
								  &builder->end_room, sizeof(uint32));
		entry->number = builder->nstrings++;
		appendBinaryStringInfo(&builder->string_bytes, text.data, (int) text.len);
		builder->ends[entry->number] = builder->string_bytes.len;
	}
	return (uint16) entry->number;
}

static int32
user_number(Builder *builder, Slice user_id)
{
	bool found;
	TextMapEntry *entry = TextMapAdd(builder->users, user_id, &found);

	if (!found)
	{
		builder->hashes = GrowArray(builder->memory, builder->hashes, builder->nusers,
									&builder->hash_room, sizeof(UserHash));
		entry->number = builder->nusers++;
		builder->hashes[entry->number] = UserHashOf(builder->hasher, user_id.data, user_id.len);
	}
	return (int32) entry->number;
}

static Slice
text_slice(Datum value)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	return (Slice){VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)};
}

/*
 * Evaluate an expression for the row at hand; false for NULL
 */
static bool
evaluate(Builder *builder, ExprState *state, Slice *text)
{
	bool isnull;
	Datum value = ExecEvalExprSwitchContext(state, builder->context, &isnull);

	if (!isnull)
		*text = text_slice(value);
	return !isnull;
}

static void
count_in_section(Builder *builder, Section *section, Slice event_name, TimestampTz ts, int32 user)
{
	Slice key;
	Slice scope = {"", 0};
	int64 bucket = BucketStart(ts, section->breakdown->finest);
	int64 day = BucketStart(ts, LEVEL_DAY);
	DeltaGroup group = {0};
	GroupEntry *entry;
	bool found;

	if (!evaluate(builder, section->key, &key))
		return;
	if (section->scope != NULL && !evaluate(builder, section->scope, &scope))
		scope = (Slice){"", 0};
	group.event_name = string_number(builder, event_name);
	group.scope = string_number(builder, scope);
	group.key = string_number(builder, key);
	group.day = (int32) (day / USECS_PER_DAY);
	group.minute = (uint16) ((bucket - day) / USECS_PER_MINUTE);

	entry = groups_insert(
		section->lookup,
		(GroupKey){((uint64) group.event_name << 32) | ((uint64) group.scope << 16) | group.key,
				   ((uint64) (uint32) group.day << 16) | group.minute},
		&found);
	if (!found)
	{
		section->groups = GrowArray(builder->memory, section->groups, section->ngroups,
									&section->group_room, sizeof(DeltaGroup));
		entry->number = section->ngroups++;
		section->groups[entry->number] = group;
	}
	section->groups[entry->number].events++;
	section->groups[entry->number].nrefs += user >= 0;
	section->members = GrowArray(builder->memory, section->members, section->nmembers,
								 &section->member_room, sizeof(Member));
	section->members[section->nmembers++] = (Member){(uint16) entry->number, user};
}

static void
append_padding(StringInfo buffer)
{
	static const char zeros[4] = {0};

	appendBinaryStringInfo(buffer, zeros, (4 - buffer->len % 4) % 4);
}

/*
 * Append a section: its groups, and the users of each in the groups' order
 */
static void
append_section(StringInfo buffer, const Section *section)
{
	DeltaSection head = {section->breakdown->id, section->ngroups, 0};
	uint32 *next = palloc(section->ngroups * sizeof(uint32));
	uint16 *refs;

	for (uint32 i = 0; i < section->ngroups; i++)
	{
		next[i] = head.nrefs;
		head.nrefs += section->groups[i].nrefs;
	}
	refs = palloc(Max(head.nrefs, 1) * sizeof(uint16));
	for (uint32 i = 0; i < section->nmembers; i++)
	{
		const Member *member = &section->members[i];

		if (member->user >= 0)
			refs[next[member->group]++] = (uint16) member->user;
	}
	appendBinaryStringInfo(buffer, (char *) &head, sizeof(head));
	appendBinaryStringInfo(buffer, (char *) section->groups,
						   (int) (section->ngroups * sizeof(DeltaGroup)));
	appendBinaryStringInfo(buffer, (char *) refs, (int) (head.nrefs * sizeof(uint16)));
	append_padding(buffer);
	pfree(refs);
	pfree(next);
}

/*
 * Store what has gathered. The table is ours and has no indexes: the row goes
 * straight to the heap, whoever it is that inserts events.
 */
static void
store(Builder *builder, Relation table)
{
	StringInfoData buffer;
	DeltaHeader header = {DELTA_VERSION, builder->nusers, builder->nstrings, 0};
	Datum values[4];
	bool isnull[4] = {0};
	HeapTuple tuple;

	if (builder->events == 0)
		return;
	initStringInfo(&buffer);
	appendStringInfoSpaces(&buffer, VARHDRSZ);
	for (int i = 0; i < builder->nsections; i++)
		header.nsections += builder->sections[i].ngroups > 0;
	appendBinaryStringInfo(&buffer, (char *) &header, sizeof(header));
	appendBinaryStringInfo(&buffer, (char *) builder->hashes,
						   (int) (builder->nusers * sizeof(UserHash)));
	appendBinaryStringInfo(&buffer, (char *) builder->ends,
						   (int) (builder->nstrings * sizeof(uint32)));
	appendBinaryStringInfo(&buffer, builder->string_bytes.data, builder->string_bytes.len);
	append_padding(&buffer);
	for (int i = 0; i < builder->nsections; i++)
		if (builder->sections[i].ngroups > 0)
			append_section(&buffer, &builder->sections[i]);
	SET_VARSIZE(buffer.data, buffer.len);

	values[DELTA_COLUMN_EVENTS - 1] = Int32GetDatum(builder->events);
	values[DELTA_COLUMN_FIRST - 1] = TimestampTzGetDatum(builder->first);
	values[DELTA_COLUMN_LAST - 1] = TimestampTzGetDatum(builder->last);
	values[DELTA_COLUMN_GROUPS - 1] = PointerGetDatum(buffer.data);
	tuple = heap_form_tuple(RelationGetDescr(table), values, isnull);
	simple_heap_insert(table, tuple);
	heap_freetuple(tuple);
	pfree(buffer.data);
	BacklogAdd(builder->events);
}

/*
 * Count the row in the slot. Values that are detoasted for that are in the current
 * memory context, all that is kept is in the builder's.
 */
static void
count_event(Builder *builder, TupleTableSlot *slot)
{
	const BreakdownList *list = builder->breakdowns;
	bool isnull;
	TimestampTz ts = DatumGetTimestampTz(slot_getattr(slot, list->ts, &isnull));
	Slice event_name;
	Datum value;
	int32 user = -1;

	EventCheckTime(ts);
	event_name = text_slice(slot_getattr(slot, list->event_name, &isnull));
	value = slot_getattr(slot, list->user_id, &isnull);
	if (!isnull)
		user = user_number(builder, text_slice(value));
	for (int i = 0; i < builder->nsections; i++)
		count_in_section(builder, &builder->sections[i], event_name, ts, user);

	builder->first = builder->events == 0 ? ts : Min(builder->first, ts);
	builder->last = builder->events == 0 ? ts : Max(builder->last, ts);
	builder->events++;
}

void
DeltaWrite(Relation relation, Tuplestorestate *rows)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest delta", ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Relation table = table_open(OwnTable("rollup_delta"), RowExclusiveLock);
	TupleTableSlot *slot =
		MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsMinimalTuple);
	Builder builder = {0};
	SavedUser user;

	/* expressions are compiled and evaluated here */
	user = ActAsEventsOwner();
	LockRelationOid(OwnTable("breakdowns"), RowExclusiveLock);
	builder.breakdowns = BreakdownsFor(relation);
	builder.context = CreateStandaloneExprContext();
	builder.context->ecxt_scantuple = slot;
	builder.hasher = UserHasherCreate();
	builder.memory =
		AllocSetContextCreate(context, "fast_ingest delta builder", ALLOCSET_DEFAULT_SIZES);
	builder.nsections = builder.breakdowns->n;
	builder.sections = palloc0(builder.nsections * sizeof(Section));
	for (int i = 0; i < builder.nsections; i++)
	{
		const Breakdown *breakdown = &builder.breakdowns->items[i];

		builder.sections[i].breakdown = breakdown;
		builder.sections[i].key = ExecInitExpr(breakdown->key, NULL);
		if (breakdown->scope != NULL)
			builder.sections[i].scope = ExecInitExpr(breakdown->scope, NULL);
	}
	builder_reset(&builder);

	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (builder.events == DELTA_MAX_EVENTS ||
			builder.nstrings + 1 + 2 * builder.nsections > MAX_STRINGS)
		{
			store(&builder, table);
			builder_reset(&builder);
		}
		MemoryContextSwitchTo(builder.context->ecxt_per_tuple_memory);
		count_event(&builder, slot);
		MemoryContextSwitchTo(context);
		ResetExprContext(builder.context);
	}
	store(&builder, table);
	ActAsCallerAgain(user);

	UserHasherFree(builder.hasher);
	FreeExprContext(builder.context, true);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
