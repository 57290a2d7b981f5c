/*
 * prometheus_streams.h
 *
 * The metrics of streams for GET /metrics/prometheus.
 */
#ifndef FAST_INGEST_PROMETHEUS_STREAMS_H
#define FAST_INGEST_PROMETHEUS_STREAMS_H

#include "lib/stringinfo.h"

/* Append the metrics of all streams. Appends nothing if no worker serves a stream. */
extern void PrometheusStreamsAppend(StringInfo out);

#endif
