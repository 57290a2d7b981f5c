/*
 * compat.h
 *
 * Every difference between PostgreSQL 14 and 18 that fast_ingest meets. The
 * rest of the source is written for one PostgreSQL and never looks at
 * PG_VERSION_NUM.
 */
#ifndef FAST_INGEST_COMPAT_H
#define FAST_INGEST_COMPAT_H

#if PG_VERSION_NUM < 140000 || PG_VERSION_NUM >= 190000
#error "fast_ingest supports PostgreSQL 14 to 18"
#endif

/* Counters and times are read after the memory that SPI had for them is gone. */
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

/* A set-returning function's tuplestore: 14 leaves it to every function. */
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

/* Parse analysis of a statement without parameters. */
#if PG_VERSION_NUM >= 150000
#define AnalyzeStatement(raw, text) parse_analyze_fixedparams((raw), (text), NULL, 0, NULL)
#else
#define AnalyzeStatement(raw, text) parse_analyze((raw), (text), NULL, 0, NULL)
#endif

/* An index scan; 18 can count its work. */
#if PG_VERSION_NUM >= 180000
#define BeginIndexScan(table, index, snapshot, nkeys) \
	index_beginscan((table), (index), (snapshot), NULL, (nkeys), 0)
#else
#define BeginIndexScan(table, index, snapshot, nkeys) \
	index_beginscan((table), (index), (snapshot), (nkeys), 0)
#endif

/* 18 wants to know whether a deferrable key will do. */
#if PG_VERSION_NUM >= 180000
#define PrimaryKeyIndex(table) RelationGetPrimaryKeyIndex((table), false)
#else
#define PrimaryKeyIndex(table) RelationGetPrimaryKeyIndex(table)
#endif

/* Ownership checks have one function for all kinds of objects since 16. */
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

/* The set lives as long as the process: it needs no resource owner. */
#if PG_VERSION_NUM >= 170000
#define CreateProcessWaitEventSet(nevents) CreateWaitEventSet(NULL, (nevents))
#else
#define CreateProcessWaitEventSet(nevents) CreateWaitEventSet(TopMemoryContext, (nevents))
#endif

/* 18 keeps a short form of each attribute beside it, and pads tuples for its callers. */
#if PG_VERSION_NUM >= 180000
#define PopulateCompactAttribute(desc, i) populate_compact_attribute((desc), (i))
#define FormMinimalTuple(desc, values, isnull) \
	heap_form_minimal_tuple((desc), (values), (isnull), 0)
#else
#define PopulateCompactAttribute(desc, i) ((void) 0)
#define FormMinimalTuple(desc, values, isnull) heap_form_minimal_tuple((desc), (values), (isnull))
#endif

#endif /* not FRONTEND */

/* Goes before a declaration; 18 has it in place of pg_attribute_noreturn(). */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

/* Before 17 only the server explains what is wrong with JSON. */
#if defined(FRONTEND) && PG_VERSION_NUM < 170000
#define json_errdetail(error, lex) "malformed"
#endif

/* JSON lexing: the caller's lexer struct came with 17, results of actions with 16. */
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
