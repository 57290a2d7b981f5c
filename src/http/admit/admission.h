/*
 * admission.h
 *
 * May a request come in? The checks are made when its head is complete, so that the body of
 * a refused request is never kept, in this order: the form of the head and its size, the number
 * of parameters, the path and method (and the origin, for a preflight), the client's rate
 * limit, the API key, the key's rate limit, and the type, encoding and length of the body.
 *
 * The access to a route is checked again when the request is complete, because its key may
 * have been revoked while the body arrived. What a key may do with single events is checked
 * event by event (see api_key_check.h), and so is the rate limit of events.
 */
#ifndef FAST_INGEST_ADMISSION_H
#define FAST_INGEST_ADMISSION_H

#include "http/server/request.h"

struct MHD_Response;

/*
 * Check the head of a request, and set its route and how its body is sent, or its refusal.
 * Returns false if there is no point in reading the body. The body of a refused request is
 * read and thrown away if it is small, so that the client receives the reply and can use
 * the connection again. Called inside libmicrohttpd.
 */
extern bool AdmissionCheckHead(Request *request, const char *target, const char *method,
							   const char *version);

/*
 * Check the access of a complete request again; a request without events pays for itself now.
 * False if it is refused, now or before; request->refusal says why.
 */
extern bool AdmissionCheckComplete(Request *request);

/* Add the headers that admission has for the request's reply. Called inside libmicrohttpd. */
extern void AdmissionAddHeaders(Request *request, struct MHD_Response *response);

#endif
