/*
 * prometheus.h
 *
 * GET /metrics/prometheus.
 */
#ifndef FAST_INGEST_PROMETHEUS_H
#define FAST_INGEST_PROMETHEUS_H

#include "http/server/request.h"

/*
 * Answer with the counters of all pairs together, in Prometheus' text format. They are in
 * shared memory, so this needs no database and no extension, and works on a standby.
 */
extern void PrometheusHandle(Request *request);

#endif
