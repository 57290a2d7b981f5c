/*
 * export_line.h
 *
 * Rows of an export as lines of text. Each line ends with a newline, so that a body that was
 * broken off shows.
 */
#ifndef FAST_INGEST_EXPORT_LINE_H
#define FAST_INGEST_EXPORT_LINE_H

#include "lib/stringinfo.h"

#include "query/export/export_rows.h"

/*
 * An event in the form in which POST /events/bulk takes it. What is NULL is left out. Its
 * event_key is the idempotency_key, as fi_dead_letters() shows it: posted again by a sender who may
 * give one, the event is stored under the same key, or known already.
 */
extern void ExportLineJson(StringInfo text, const ExportRow *row);

/*
 * A line of CSV (RFC 4180), and the line before all others. NULL is nothing, and an empty text is
 * two quotes. Texts are protected as in csv_field.h.
 */
extern void ExportLineCsv(StringInfo text, const ExportRow *row);
extern void ExportLineCsvHeader(StringInfo text);

#endif
