/*
 * scan_events.h
 *
 * Reads rows of fast_ingest.events as a breakdown sees them, for queries that the rollup
 * cannot answer and for times that the refresh counts again.
 */
#ifndef FAST_INGEST_SCAN_EVENTS_H
#define FAST_INGEST_SCAN_EVENTS_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/users/user_hash.h"

/*
 * A row as a breakdown sees it, valid while it is visited. Texts are as the rollup stores them
 * (see rollup_text.h), without a NUL.
 */
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
 * Call a visitor for the rows of a range that have a key in a breakdown and that the active
 * snapshot shows; of one event_name and channel, or of all (NULL). The visitor may use SPI.
 * Needs SPI. An ERROR of the breakdown's expression is passed on.
 */
extern void ScanEvents(const Breakdown *breakdown, const char *event_name, const char *channel,
					   TimeRange range, ScannedEventVisitor visitor, void *arg);

#endif
