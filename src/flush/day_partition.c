/*
 * day_partition.c
 *
 * See day_partition.h.
 */
#include "postgres.h"

#include "flush/day_partition.h"

#include "nodes/bitmapset.h"
#include "utils/memutils.h"

#include "db/own_tables.h"
#include "partition/create_partition.h"
#include "shared/worker_slot.h"

typedef struct
{
	int32 day;
	bool create;					/* its partition, if it is missing */
	char oddity[WORKER_ERROR_SIZE]; /* "" if there is none */
} DayLook;

static Bitmapset *known_days = NULL;
static DayLook odd = {.day = ANY_DAY}; /* the last day that was found odd */

static void
look_at_day(void *arg)
{
	DayLook *look = arg;
	char *oddity;

	ExtensionLock();
	if (look->create)
		PartitionEnsure(look->day);
	oddity = PartitionOddity(look->day);
	strlcpy(look->oddity, oddity ? oddity : "", sizeof(look->oddity));
}

bool
DayIsKnown(int32 day)
{
	return bms_is_member(day, known_days);
}

ErrorData *
DayEnsure(int32 day, int patience, OthersWaitCheck others_wait)
{
	DayLook look = {.day = day, .create = true};
	MemoryContext caller;
	ErrorData *error =
		RunUnlessBlocking("creating a partition", look_at_day, &look, patience, others_wait);

	if (error != NULL)
	{
		error->message = psprintf("the partition of %s cannot be made: %s", PartitionDayText(day),
								  error->message);
		error->sqlerrcode = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		/* such an error may be shown: no event has a part in it, see ErrorDescribe */
		error->domain = NULL;
		error->context = NULL;
		return error;
	}
	if (look.oddity[0] != '\0' || day == odd.day)
		odd = look;

	caller = MemoryContextSwitchTo(TopMemoryContext);
	known_days = bms_add_member(known_days, day);
	MemoryContextSwitchTo(caller);
	return NULL;
}

void
DayForgetAll(void)
{
	bms_free(known_days);
	known_days = NULL;
}

const char *
DayOddity(void)
{
	return odd.oddity[0] != '\0' ? odd.oddity : NULL;
}

void
DayLookAgain(int patience, OthersWaitCheck others_wait)
{
	DayLook look = {.day = odd.day};

	if (RunUnlessBlocking("looking at a partition", look_at_day, &look, patience, others_wait) ==
		NULL)
		odd = look;
}
