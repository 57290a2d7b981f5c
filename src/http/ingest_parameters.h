/*
 * ingest_parameters.h
 *
 * The parameters of the paths that take events.
 */
#ifndef FAST_INGEST_INGEST_PARAMETERS_H
#define FAST_INGEST_INGEST_PARAMETERS_H

#include "http/request.h"

/*
 * Read them: atomic of a bulk request. The key, which is allowed everywhere, has been
 * looked at already. Anything else, and what is empty or given twice, is refused: false
 * with the answer.
 */
extern bool IngestParametersRead(Request *request, bool *atomic, Reply *refusal);

#endif
