/*
 * stream_columns.c
 *
 * The names of the kinds of streams, and of the columns that one may carry. Links without a server.
 */
#include "postgres.h"

#include "stream/stream.h"

const char *const StreamKindNames[NUM_STREAM_KINDS] = {"clickhouse", "kafka_rest", "webhook"};

const char *const StreamColumnNames[NUM_STREAM_COLUMNS] = {
	"event_name", "channel", "user_id",	 "ts",		  "campaign_id", "site_id",
	"path",		  "tags",	 "metadata", "event_key", "ingested_at"};
