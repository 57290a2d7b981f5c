/*
 * conditions.h
 *
 * Which form of a file a client takes, and whether it has the file already (RFC 9110, sections
 * 12.5.3 and 13.1.2). What clients send is read as it is: whatever is not of the form that the RFC
 * gives is as if it were not there. Nothing here allocates memory or needs a server.
 */
#ifndef FAST_INGEST_CONDITIONS_H
#define FAST_INGEST_CONDITIONS_H

#include <stdbool.h>

/* The weights of codings in thousandths; -1: not named. */
typedef struct
{
	int gzip;
	int identity;
	int any; /* * */
} AcceptedCodings;

#define ACCEPTED_CODINGS_NONE \
	{ \
		-1, -1, -1 \
	}

/* Read one line Accept-Encoding; of a coding that is named twice the least weight counts. */
extern void AcceptEncodingRead(const char *value, AcceptedCodings *codings);

/* Is gzip accepted, and not less than the file as it is? */
extern bool AcceptedCodingsPreferGzip(const AcceptedCodings *codings);

/* Is an entity tag in one line If-None-Match? By weak comparison: W/ makes no difference. */
extern bool EntityTagIsListed(const char *value, const char *etag);

#endif
