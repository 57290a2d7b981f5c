/*
 * settings.h
 *
 * The settings of fast_ingest (fast_ingest.*). settings.c has the table of their names,
 * defaults, units and limits.
 */
#ifndef FAST_INGEST_SETTINGS_H
#define FAST_INGEST_SETTINGS_H

typedef enum
{
	ACKNOWLEDGE_COMMIT,
	ACKNOWLEDGE_STAGE
} AcknowledgeMode;

typedef enum
{
	DEDUPLICATE_CONTENT,
	DEDUPLICATE_KEY
} DeduplicateMode;

typedef enum
{
	UNKNOWN_FIELDS_REJECT,
	UNKNOWN_FIELDS_METADATA
} UnknownFieldsMode;

/* Each value includes the requests of those before it. */
typedef enum
{
	LOG_REQUESTS_OFF,
	LOG_REQUESTS_ERRORS,
	LOG_REQUESTS_SLOW,
	LOG_REQUESTS_ALL
} LogRequests;

/* fixed at server start */
extern char *fi_database;
extern char *fi_role;
extern char *fi_listen_addresses;
extern int fi_port;		/* 0: no HTTP without TLS */
extern int fi_ssl_port; /* 0: no TLS */
extern int fi_listeners;
extern int fi_max_connections;
extern int fi_staging_size; /* kB */
extern int fi_query_workers;
extern int fi_max_api_keys;
extern int fi_rate_limit_clients;
extern int fi_max_streams;

/* reloadable */
extern int fi_max_body_size;	  /* kB */
extern int fi_max_request_memory; /* kB */
extern int fi_request_timeout;	  /* ms */
extern int fi_keepalive_timeout;  /* ms */
extern int fi_drain_timeout;	  /* ms */
extern int fi_max_batch_events;
extern int fi_max_bulk_events;
extern int fi_acknowledge;
extern int fi_deduplicate;
extern int fi_unknown_fields;
extern char *fi_channels;
extern char *fi_cors_origins;
extern int fi_max_age;		   /* s */
extern int fi_max_future;	   /* s */
extern int fi_query_timeout;   /* ms */
extern int fi_refresh_backlog; /* events */
extern int fi_refresh_backlog_deltas;
extern int fi_refresh_backlog_age; /* s */
extern int fi_retention;		   /* s; 0: keep all */
extern int fi_partitions_ahead;	   /* days */
extern int fi_max_dead_letters;	   /* 0: any number */
extern int fi_delta_cache_size;	   /* kB */
extern int fi_max_event_names;	   /* of a day */
extern bool fi_require_api_key;
extern int fi_rate_limit_per_client;  /* events per second; 0: none */
extern int fi_rate_limit_per_key;	  /* the same */
extern int fi_rate_limit_per_channel; /* the same */
extern int fi_rate_limit_burst;		  /* ms */
extern char *fi_trusted_proxies;
extern int fi_log_requests;
extern int fi_log_min_duration_request; /* ms */
extern char *fi_ssl_cert_file;
extern char *fi_ssl_key_file;

/* The largest value of fast_ingest.listeners. */
#define MAX_LISTENERS 16

/* The largest value of fast_ingest.max_streams. */
#define MAX_STREAMS 32

/* Bytes of the largest request head that is read. Longer ones are answered with 431. */
#define MAX_REQUEST_HEAD_SIZE (16 * 1024)

/* Bytes of the largest request body. */
#define MAX_BODY_BYTES ((size_t) fi_max_body_size * 1024)

/* Define all settings; called by _PG_init. */
extern void DefineSettings(void);

#endif
