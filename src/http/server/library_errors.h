/*
 * library_errors.h
 *
 * Answers requests that libmicrohttpd refuses, before it does.
 */
#ifndef FAST_INGEST_LIBRARY_ERRORS_H
#define FAST_INGEST_LIBRARY_ERRORS_H

#include <stdarg.h>

/* Callback of libmicrohttpd: it has something to say. */
extern void LibraryErrorHear(void *cls, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

#endif
