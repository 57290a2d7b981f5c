/*
 * library_errors.h
 *
 * Replies to requests that libmicrohttpd refuses, before libmicrohttpd does.
 */
#ifndef FAST_INGEST_LIBRARY_ERRORS_H
#define FAST_INGEST_LIBRARY_ERRORS_H

#include <stdarg.h>

/*
 * Callback of libmicrohttpd, which is about to write a message to its log. cls points to the
 * HeadRemains of the library that runs.
 */
extern void LibraryErrorNote(void *cls, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

#endif
