/*
 * scan_events.h
 *
 * Reading raw rows of fast_ingest.events, for what the rollup cannot answer or has
 * to count again.
 */
#ifndef FAST_INGEST_SCAN_EVENTS_H
#define FAST_INGEST_SCAN_EVENTS_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/users/user_hash.h"

/* A row as a breakdown sees it; texts as the rollup has them (see RollupText). */
typedef struct
{
	TimestampTz ts;
	const char *event_name;
	const char *scope;
	const char *key;
	int event_name_len;
	int scope_len;
	int key_len;
	bool has_user;
	UserHash user;
} ScannedEvent;

typedef void (*ScannedEventVisitor)(const ScannedEvent *row, void *arg);

/*
 * Show a visitor all rows of a span that have a key in a breakdown, of one
 * event_name and channel, or of any (NULL), as the active snapshot shows them.
 * Needs SPI.
 */
extern void ScanEvents(const Breakdown *breakdown, const char *event_name, const char *channel,
					   TimeRange span, ScannedEventVisitor visitor, void *arg);

#endif
