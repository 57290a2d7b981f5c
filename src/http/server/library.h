/*
 * library.h
 *
 * Which libmicrohttpd runs, and what it refuses by itself. It may have another version than the
 * one that fast_ingest was built with.
 */
#ifndef FAST_INGEST_LIBRARY_H
#define FAST_INGEST_LIBRARY_H

#include <stdarg.h>

#include "http/server/head_check.h"

/* Find out the library's version; called before anything else here. */
extern void LibraryInit(void);

/* How the libmicrohttpd that runs leaves the bytes of heads behind. */
extern HeadRemains LibraryRemains(void);

/*
 * Is the version of libmicrohttpd a known one? Otherwise no request may be taken: false, with a
 * message in error.
 */
extern bool LibraryIsKnown(char *error, size_t error_size);

/*
 * Callback: libmicrohttpd is about to write a message to its log. If it refuses a head, the client
 * gets our reply before libmicrohttpd sends its own.
 */
extern void LibraryNoteMessage(void *cls, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

#endif
