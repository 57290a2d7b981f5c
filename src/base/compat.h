/*
 * compat.h
 *
 * All differences between PostgreSQL 14 and 18 that matter to fast_ingest. No other file
 * looks at PG_VERSION_NUM.
 */
#ifndef FAST_INGEST_COMPAT_H
#define FAST_INGEST_COMPAT_H

#if PG_VERSION_NUM < 140000 || PG_VERSION_NUM >= 190000
#error "fast_ingest supports PostgreSQL 14 to 18"
#endif

/* int64 columns are read after SPI has freed its memory, so they must be passed by value. */
#if !defined(FRONTEND) && !defined(USE_FLOAT8_BYVAL)
#error "fast_ingest needs a PostgreSQL for 64 bits"
#endif

#include "common/jsonapi.h"

#ifndef FRONTEND

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#else
#include "storage/latch.h"
#endif

#if PG_VERSION_NUM >= 150000
#define HAVE_SHMEM_REQUEST_HOOK
#endif

#if PG_VERSION_NUM >= 170000
#define HAVE_TRANSACTION_TIMEOUT
#endif

#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* The tuplestore of a set-returning function: in 14 each function makes its own. */
#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "miscadmin.h"

static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext caller;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0)
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("set-valued function called in context that cannot accept a set")));
	caller = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	if (get_call_result_type(fcinfo, NULL, &result->setDesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	result->setDesc = CreateTupleDescCopy(result->setDesc);
	result->returnMode = SFRM_Materialize;
	result->setResult = tuplestore_begin_heap(true, false, work_mem);
	MemoryContextSwitchTo(caller);
}
#endif

/* Parse analysis of a statement without parameters; renamed in 15. */
#if PG_VERSION_NUM >= 150000
#define AnalyzeStatement(raw, text) parse_analyze_fixedparams((raw), (text), NULL, 0, NULL)
#else
#define AnalyzeStatement(raw, text) parse_analyze((raw), (text), NULL, 0, NULL)
#endif

/* The begin of an index scan; since 18 it takes counters of its work. */
#if PG_VERSION_NUM >= 180000
#define BeginIndexScan(table, index, snapshot, nkeys) \
	index_beginscan((table), (index), (snapshot), NULL, (nkeys), 0)
#else
#define BeginIndexScan(table, index, snapshot, nkeys) \
	index_beginscan((table), (index), (snapshot), (nkeys), 0)
#endif

/* Since 18 the caller says whether a deferrable key is good enough. */
#if PG_VERSION_NUM >= 180000
#define PrimaryKeyIndex(table) RelationGetPrimaryKeyIndex((table), false)
#else
#define PrimaryKeyIndex(table) RelationGetPrimaryKeyIndex(table)
#endif

/* Since 16 one function checks the ownership of all kinds of objects. */
#if PG_VERSION_NUM >= 160000
#define OwnsDatabase(oid) object_ownercheck(DatabaseRelationId, (oid), GetUserId())
#define OwnsRelation(oid) object_ownercheck(RelationRelationId, (oid), GetUserId())
#else
#define OwnsDatabase(oid) pg_database_ownercheck((oid), GetUserId())
#define OwnsRelation(oid) pg_class_ownercheck((oid), GetUserId())
#endif

/* Since 17 a background worker's role need not have LOGIN. */
#if PG_VERSION_NUM < 170000
#define BGWORKER_BYPASS_ROLELOGINCHECK 0
#endif

/* A set that lives as long as the process. Since 17 sets belong to a resource owner or to none. */
#if PG_VERSION_NUM >= 170000
#define CreateProcessWaitEventSet(nevents) CreateWaitEventSet(NULL, (nevents))
#else
#define CreateProcessWaitEventSet(nevents) CreateWaitEventSet(TopMemoryContext, (nevents))
#endif

/* Since 18 a descriptor also has a compact form of each attribute, and tuples can be padded. */
#if PG_VERSION_NUM >= 180000
#define PopulateCompactAttribute(desc, i) populate_compact_attribute((desc), (i))
#define FormMinimalTuple(desc, values, isnull) \
	heap_form_minimal_tuple((desc), (values), (isnull), 0)
#else
#define PopulateCompactAttribute(desc, i) ((void) 0)
#define FormMinimalTuple(desc, values, isnull) heap_form_minimal_tuple((desc), (values), (isnull))
#endif

/*
 * Replication slots. A slot is made ephemeral; since 17 it follows its server to a standby
 * (failover). Since 18 it can be acquired although it is invalid.
 */
#if PG_VERSION_NUM >= 170000
#define CreateLogicalSlot(name) \
	ReplicationSlotCreate((name), true, RS_EPHEMERAL, false, true, false)
#else
#define CreateLogicalSlot(name) ReplicationSlotCreate((name), true, RS_EPHEMERAL, false)
#endif

#if PG_VERSION_NUM >= 180000
#define AcquireSlot(name) ReplicationSlotAcquire((name), true, true)
#else
#define AcquireSlot(name) ReplicationSlotAcquire((name), true)
#endif

/* Is the WAL of a slot gone, by its ReplicationSlotPersistentData? Since 16 with a cause. */
#if PG_VERSION_NUM >= 160000
#define SlotIsInvalidated(data) ((data)->invalidated != RS_INVAL_NONE)
#define SlotLostItsRows(data) ((data)->invalidated == RS_INVAL_HORIZON)
#define SlotLostItsWalLevel(data) ((data)->invalidated == RS_INVAL_WAL_LEVEL)
#else
#define SlotIsInvalidated(data) XLogRecPtrIsInvalid((data)->restart_lsn)
#define SlotLostItsRows(data) false
#define SlotLostItsWalLevel(data) false
#endif
#if PG_VERSION_NUM >= 180000
#define SlotWasIdle(data) ((data)->invalidated == RS_INVAL_IDLE_TIMEOUT)
#else
#define SlotWasIdle(data) false
#endif

/*
 * Have the standbys that must not lag behind the acquired slot (synchronized_standby_slots)
 * WAL up to a position? If not, it is logged with that level.
 */
#if PG_VERSION_NUM >= 170000
#define StandbysHave(lsn, elevel) \
	(!MyReplicationSlot->data.failover || StandbySlotsHaveCaughtup((lsn), (elevel)))
#else
#define StandbysHave(lsn, elevel) ((void) (lsn), (void) (elevel), true)
#endif

/* The end of flushed WAL, and its timeline. */
#if PG_VERSION_NUM >= 150000
#define FlushedWal(timeline) GetFlushRecPtr(timeline)
#else
#define FlushedWal(timeline) \
	((void) RecoveryInProgress(), *(timeline) = ThisTimeLineID, GetFlushRecPtr())
#endif

/* Logical decoding: when a transaction was committed, and the row of an INSERT. */
#if PG_VERSION_NUM >= 150000
#define DecodedCommitTime(txn) ((txn)->xact_time.commit_time)
#else
#define DecodedCommitTime(txn) ((txn)->commit_time)
#endif
#if PG_VERSION_NUM >= 170000
#define DecodedRow(change) ((change)->data.tp.newtuple)
#else
#define DecodedRow(change) ((change)->data.tp.newtuple ? &(change)->data.tp.newtuple->tuple : NULL)
#endif

#endif /* not FRONTEND */

/* Stands before a declaration; since 18 in place of pg_attribute_noreturn(). */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* Before 17 only the server has texts about wrong JSON. */
#if defined(FRONTEND) && PG_VERSION_NUM < 170000
#define json_errdetail(error, lex) "malformed"
#endif

/* JSON parsing: since 17 the caller may provide the lexer, since 16 actions return a result. */
#if PG_VERSION_NUM >= 170000
#define MakeJsonLexer(json, len) makeJsonLexContextCstringLen(NULL, (json), (len), PG_UTF8, true)
#else
#define MakeJsonLexer(json, len) makeJsonLexContextCstringLen((json), (len), PG_UTF8, true)
#endif

#if PG_VERSION_NUM >= 160000
typedef JsonParseErrorType JsonActionResult;
#define JSON_ACTION_OK return JSON_SUCCESS
#else
typedef void JsonActionResult;
#define JSON_ACTION_OK return
#endif

#endif
