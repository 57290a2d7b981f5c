/*
 * event_columns.c
 *
 * Finds and checks the columns of events.
 */
#include "postgres.h"

#include "partition/event_columns.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

AttrNumber
EventColumn(Relation relation, const char *name, Oid type)
{
	AttrNumber number = get_attnum(RelationGetRelid(relation), name);
	Oid found = number == InvalidAttrNumber
					? InvalidOid
					: TupleDescAttr(RelationGetDescr(relation), number - 1)->atttypid;

	if (found != type && !(type == TEXTOID && found == VARCHAROID))
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
						errmsg("column \"%s\" of \"%s\" is not of type %s", name,
							   RelationGetRelationName(relation), format_type_be(type)),
						errdetail("The rollup counts events by event_name, user_id and ts.")));
	return number;
}

void
EventCheckTime(TimestampTz ts)
{
	if (TIMESTAMP_NOT_FINITE(ts))
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
						errmsg("ts of an event must be finite: %s", timestamptz_to_str(ts))));
}
