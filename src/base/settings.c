/*
 * settings.c
 *
 * The table of all settings: name, default, limits, unit, and when it can change. A test
 * compares doc/reference-settings.md with it.
 */
#include "postgres.h"

#include "base/settings.h"

#include <limits.h>

#include "nodes/pg_list.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "base/address.h"
#include "base/compat.h"

char *fi_database;
char *fi_role;
char *fi_listen_addresses;
int fi_port;
int fi_ssl_port;
int fi_listeners;
int fi_max_connections;
int fi_staging_size;
int fi_max_body_size;
int fi_max_request_memory;
int fi_request_timeout;
int fi_keepalive_timeout;
int fi_drain_timeout;
int fi_max_batch_events;
int fi_max_bulk_events;
int fi_acknowledge;
int fi_deduplicate;
int fi_unknown_fields;
char *fi_channels;
char *fi_cors_origins;
int fi_max_age;
int fi_max_future;
int fi_query_workers;
int fi_query_timeout;
int fi_refresh_backlog;
int fi_refresh_backlog_deltas;
int fi_refresh_backlog_age;
int fi_delta_cache_size;
int fi_max_event_names;
int fi_retention;
int fi_partitions_ahead;
int fi_max_dead_letters;
int fi_max_api_keys;
bool fi_require_api_key;
int fi_rate_limit_per_client;
int fi_rate_limit_per_key;
int fi_rate_limit_per_channel;
int fi_rate_limit_burst;
int fi_rate_limit_clients;
int fi_max_streams;
char *fi_trusted_proxies;
int fi_log_requests;
int fi_log_min_duration_request;
char *fi_ssl_cert_file;
char *fi_ssl_key_file;

/* So low that rates times durations fit an int64 (see shared/types/token_bucket.c). */
#define MAX_RATE_LIMIT 10000000

static const struct config_enum_entry acknowledge_modes[] = {
	{"commit", ACKNOWLEDGE_COMMIT, false}, {"stage", ACKNOWLEDGE_STAGE, false}, {NULL, 0, false}};

static const struct config_enum_entry deduplicate_modes[] = {
	{"content", DEDUPLICATE_CONTENT, false}, {"key", DEDUPLICATE_KEY, false}, {NULL, 0, false}};

static const struct config_enum_entry unknown_fields_modes[] = {
	{"reject", UNKNOWN_FIELDS_REJECT, false},
	{"metadata", UNKNOWN_FIELDS_METADATA, false},
	{NULL, 0, false}};

static const struct config_enum_entry log_requests_modes[] = {
	{"off", LOG_REQUESTS_OFF, false},
	{"errors", LOG_REQUESTS_ERRORS, false},
	{"slow", LOG_REQUESTS_SLOW, false},
	{"all", LOG_REQUESTS_ALL, false},
	{NULL, 0, false}};

typedef struct
{
	const char *name;
	const char *description;
	char **variable;
	const char *initial;
	GucContext context;
	GucStringCheckHook check;
} TextSetting;

typedef struct
{
	const char *name;
	const char *description;
	int *variable;
	int initial;
	int min;
	int max;
	GucContext context;
	int unit;
} IntegerSetting;

typedef struct
{
	const char *name;
	const char *description;
	int *variable;
	int initial;
	const struct config_enum_entry *options;
} EnumSetting;

typedef struct
{
	const char *name;
	const char *description;
	bool *variable;
	bool initial;
} BoolSetting;

/*
 * Refuse a value that is not a list, so that no part of it is silently ignored
 */
static bool
check_list(char **value, void **extra, GucSource source)
{
	char *copy = pstrdup(*value);
	List *items = NIL;
	bool valid = SplitGUCList(copy, ',', &items);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	list_free(items);
	pfree(copy);
	return valid;
}

/*
 * Refuse a list with anything but addresses and ranges of addresses
 */
static bool
check_addresses(char **value, void **extra, GucSource source)
{
	char *copy = pstrdup(*value);
	List *items = NIL;
	ListCell *cell;
	bool valid = SplitGUCList(copy, ',', &items);

	if (!valid)
		GUC_check_errdetail("List syntax is invalid.");
	foreach (cell, items)
	{
		IpRange range;

		if (!valid || IpRangeParse(lfirst(cell), &range))
			continue;
		GUC_check_errdetail("\"%s\" is neither an address nor a range like 10.0.0.0/8.",
							(char *) lfirst(cell));
		valid = false;
	}
	list_free(items);
	pfree(copy);
	return valid;
}

static const TextSetting text_settings[] = {
	{"fast_ingest.database", "Database that events are stored in.", &fi_database, "postgres",
	 PGC_POSTMASTER, NULL},
	{"fast_ingest.role", "Role the workers run as; empty is the bootstrap superuser.", &fi_role, "",
	 PGC_POSTMASTER, NULL},
	{"fast_ingest.listen_addresses", "Host names or addresses to serve HTTP on, or *.",
	 &fi_listen_addresses, "localhost", PGC_POSTMASTER, check_list},
	{"fast_ingest.channels", "Channels that events may name, separated by commas; empty is any.",
	 &fi_channels, "", PGC_SIGHUP, check_list},
	{"fast_ingest.trusted_proxies",
	 "Addresses and ranges of proxies whose X-Forwarded-For says where a request comes from.",
	 &fi_trusted_proxies, "", PGC_SIGHUP, check_addresses},
	{"fast_ingest.cors_origins",
	 "Origins whose pages may send requests and read answers, separated by commas; * is any.",
	 &fi_cors_origins, "", PGC_SIGHUP, check_list},
	{"fast_ingest.ssl_cert_file", "File of the certificate of the HTTPS port.", &fi_ssl_cert_file,
	 "server.crt", PGC_SIGHUP, NULL},
	{"fast_ingest.ssl_key_file", "File of its private key.", &fi_ssl_key_file, "server.key",
	 PGC_SIGHUP, NULL},
};

static const IntegerSetting integer_settings[] = {
	{"fast_ingest.port", "TCP port to serve HTTP on; 0 is none.", &fi_port, 8080, 0, 65535,
	 PGC_POSTMASTER, 0},
	{"fast_ingest.ssl_port", "TCP port to serve HTTPS on; 0 is none.", &fi_ssl_port, 0, 0, 65535,
	 PGC_POSTMASTER, 0},
	{"fast_ingest.listeners", "Number of listeners, each with a flusher of its own.", &fi_listeners,
	 1, 1, MAX_LISTENERS, PGC_POSTMASTER, 0},
	{"fast_ingest.max_connections", "Largest number of HTTP connections at a time.",
	 &fi_max_connections, 1000, 1, 100000, PGC_POSTMASTER, 0},
	{"fast_ingest.staging_size",
	 "Shared memory of each listener in which events wait for their commit.", &fi_staging_size,
	 64 * 1024, 1024, 16 * 1024 * 1024, PGC_POSTMASTER, GUC_UNIT_KB},
	{"fast_ingest.max_body_size", "Largest request body.", &fi_max_body_size, 20 * 1024, 1,
	 128 * 1024, PGC_SIGHUP, GUC_UNIT_KB},
	{"fast_ingest.max_request_memory",
	 "Memory for the bodies of all requests of a listener together.", &fi_max_request_memory,
	 256 * 1024, 1024, 64 * 1024 * 1024, PGC_SIGHUP, GUC_UNIT_KB},
	{"fast_ingest.request_timeout",
	 "Time for a request to arrive, and again for its events to be committed.", &fi_request_timeout,
	 30000, 100, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS},
	{"fast_ingest.keepalive_timeout",
	 "Time after which a connection is closed that had a request and has none.",
	 &fi_keepalive_timeout, 75000, 100, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS},
	{"fast_ingest.drain_timeout", "Time to commit and answer what is staged at shutdown.",
	 &fi_drain_timeout, 5000, 0, 600 * 1000, PGC_SIGHUP, GUC_UNIT_MS},
	{"fast_ingest.max_batch_events", "Largest number of events stored in one transaction.",
	 &fi_max_batch_events, 10000, 1, 1000000, PGC_SIGHUP, 0},
	{"fast_ingest.max_bulk_events", "Largest number of events in one bulk request.",
	 &fi_max_bulk_events, 1000, 1, 1000000, PGC_SIGHUP, 0},
	{"fast_ingest.max_age", "Age of the oldest event that is accepted; 0 is any age.", &fi_max_age,
	 3650 * 86400, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S},
	{"fast_ingest.max_future", "How far ahead of the server's clock an event may be.",
	 &fi_max_future, 300, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S},
	{"fast_ingest.query_workers", "Number of processes that answer questions about events.",
	 &fi_query_workers, 1, 1, 64, PGC_POSTMASTER, 0},
	{"fast_ingest.query_timeout", "Time for a query over HTTP to be answered.", &fi_query_timeout,
	 10000, 1, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS},
	{"fast_ingest.refresh_backlog",
	 "Number of events not yet in the rollup at which it is refreshed without waiting for "
	 "pg_cron; 0 is never.",
	 &fi_refresh_backlog, 10000, 0, INT_MAX, PGC_SIGHUP, 0},
	{"fast_ingest.refresh_backlog_deltas",
	 "Number of deltas, of any number of events, at which the rollup is refreshed likewise; 0 "
	 "is any number.",
	 &fi_refresh_backlog_deltas, 1000, 0, INT_MAX, PGC_SIGHUP, 0},
	{"fast_ingest.refresh_backlog_age",
	 "Age of the oldest delta at which the rollup is refreshed likewise; 0 is any age.",
	 &fi_refresh_backlog_age, 60, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S},
	{"fast_ingest.delta_cache_size",
	 "Memory of each process that answers questions for events not yet in the rollup.",
	 &fi_delta_cache_size, 32 * 1024, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_KB},
	{"fast_ingest.max_event_names",
	 "Number of different event_names of a UTC day that the rollup keeps apart.",
	 &fi_max_event_names, 1000, 1, INT_MAX, PGC_SIGHUP, 0},
	{"fast_ingest.retention", "Age at which raw events are dropped; 0 keeps them for ever.",
	 &fi_retention, 0, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_S},
	{"fast_ingest.partitions_ahead", "Number of days to come whose partitions are made ahead.",
	 &fi_partitions_ahead, 2, 0, 366, PGC_SIGHUP, 0},
	{"fast_ingest.max_dead_letters",
	 "Number of dead letters that are kept, the oldest make room; 0 is any number.",
	 &fi_max_dead_letters, 100000, 0, INT_MAX, PGC_SIGHUP, 0},
	{"fast_ingest.rate_limit_per_client", "Events per second of a client address; 0 is no limit.",
	 &fi_rate_limit_per_client, 0, 0, MAX_RATE_LIMIT, PGC_SIGHUP, 0},
	{"fast_ingest.rate_limit_per_key",
	 "Events per second of an API key that has no limit of its own; 0 is no limit.",
	 &fi_rate_limit_per_key, 0, 0, MAX_RATE_LIMIT, PGC_SIGHUP, 0},
	{"fast_ingest.rate_limit_per_channel", "Events per second of a channel; 0 is no limit.",
	 &fi_rate_limit_per_channel, 0, 0, MAX_RATE_LIMIT, PGC_SIGHUP, 0},
	{"fast_ingest.rate_limit_burst",
	 "Time for which a rate limit saves up what is not used; it can be used at a time.",
	 &fi_rate_limit_burst, 10000, 1, 3600 * 1000, PGC_SIGHUP, GUC_UNIT_MS},
	{"fast_ingest.rate_limit_clients",
	 "Number of client addresses whose rate limits are kept apart.", &fi_rate_limit_clients, 65536,
	 1024, 16 * 1024 * 1024, PGC_POSTMASTER, 0},
	{"fast_ingest.log_min_duration_request",
	 "Time from which on a request is slow for fast_ingest.log_requests.",
	 &fi_log_min_duration_request, 1000, 0, INT_MAX, PGC_SIGHUP, GUC_UNIT_MS},
	{"fast_ingest.max_api_keys", "Largest number of API keys.", &fi_max_api_keys, 1000, 1, 100000,
	 PGC_POSTMASTER, 0},
	{"fast_ingest.max_streams",
	 "Largest number of streams; each has a worker and a replication slot.", &fi_max_streams, 0, 0,
	 MAX_STREAMS, PGC_POSTMASTER, 0},
};

static const EnumSetting enum_settings[] = {
	{"fast_ingest.acknowledge", "When events are acknowledged: after their commit or once staged.",
	 &fi_acknowledge, ACKNOWLEDGE_COMMIT, acknowledge_modes},
	{"fast_ingest.deduplicate",
	 "What makes two events the same: their idempotency key, and without one their content.",
	 &fi_deduplicate, DEDUPLICATE_CONTENT, deduplicate_modes},
	{"fast_ingest.unknown_fields", "What is done with fields that events do not have.",
	 &fi_unknown_fields, UNKNOWN_FIELDS_REJECT, unknown_fields_modes},
	{"fast_ingest.log_requests",
	 "Which requests are logged: none, those that failed, slow ones too, or all.", &fi_log_requests,
	 LOG_REQUESTS_OFF, log_requests_modes},
};

static const BoolSetting bool_settings[] = {
	{"fast_ingest.require_api_key", "Whether requests need an API key.", &fi_require_api_key,
	 false},
};

void
DefineSettings(void)
{
	for (int i = 0; i < (int) lengthof(text_settings); i++)
	{
		const TextSetting *s = &text_settings[i];

		DefineCustomStringVariable(s->name, s->description, NULL, s->variable, s->initial,
								   s->context, 0, s->check, NULL, NULL);
	}
	for (int i = 0; i < (int) lengthof(integer_settings); i++)
	{
		const IntegerSetting *s = &integer_settings[i];

		DefineCustomIntVariable(s->name, s->description, NULL, s->variable, s->initial, s->min,
								s->max, s->context, s->unit, NULL, NULL, NULL);
	}
	for (int i = 0; i < (int) lengthof(enum_settings); i++)
	{
		const EnumSetting *s = &enum_settings[i];

		DefineCustomEnumVariable(s->name, s->description, NULL, s->variable, s->initial, s->options,
								 PGC_SIGHUP, 0, NULL, NULL, NULL);
	}
	for (int i = 0; i < (int) lengthof(bool_settings); i++)
	{
		const BoolSetting *s = &bool_settings[i];

		DefineCustomBoolVariable(s->name, s->description, NULL, s->variable, s->initial, PGC_SIGHUP,
								 0, NULL, NULL, NULL);
	}
	MarkGUCPrefixReserved("fast_ingest");
}
