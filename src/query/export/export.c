/*
 * export.c
 *
 * Lines are gathered until they fill a piece. A page (limit) is stored in a temporary file
 * first: where the next page begins stands in the head of the answer, before all of its lines.
 */
#include "postgres.h"

#include "query/export/export.h"

#include "storage/buffile.h"
#include "utils/memutils.h"

#include "query/export/export_line.h"
#include "query/export/export_rows.h"
#include "query/parameters/filters.h"

/* A buffer that had to hold so large an event is not kept. */
#define LARGE_BUFFER (1024 * 1024)

/* An answer that is being made. */
typedef struct
{
	const ExportTarget *target;
	const ExportParameters *parameters;
	MemoryContext context; /* in which this is allocated */
	bool begun;			   /* something was handed over */
	StringInfoData text;   /* lines that were not */
	BufFile *page;		   /* instead of the target, until a page is complete */
	char next_cursor[EXPORT_CURSOR_SIZE];
} Answer;

static void
put_piece(Answer *answer, const char *data, size_t size, bool last)
{
	if (!answer->begun)
		answer->target->begin(answer->parameters->csv, answer->next_cursor);
	answer->begun = true;
	answer->target->put(data, size, last);
}

/*
 * Hand over, or store, whole pieces of the text
 */
static void
put_text(Answer *answer)
{
	StringInfo text = &answer->text;
	size_t size = answer->target->size;
	size_t done = 0;

	for (; text->len - done >= size; done += size)
	{
		if (answer->page != NULL)
			BufFileWrite(answer->page, text->data + done, size);
		else
			put_piece(answer, text->data + done, size, false);
	}
	if (done == 0)
		return;
	text->len -= (int) done;
	memmove(text->data, text->data + done, text->len + 1);
	if (text->maxlen > LARGE_BUFFER && text->len < LARGE_BUFFER / 2)
	{
		char *rest = MemoryContextAlloc(answer->context, LARGE_BUFFER);

		memcpy(rest, text->data, text->len + 1);
		pfree(text->data);
		text->data = rest;
		text->maxlen = LARGE_BUFFER;
	}
}

/*
 * Hand over the whole pieces that were stored
 */
static void
put_page(Answer *answer)
{
	char *piece = MemoryContextAlloc(answer->context, answer->target->size);
	size_t n;

	if (BufFileSeek(answer->page, 0, 0, SEEK_SET) != 0)
		ereport(ERROR, (errcode_for_file_access(), errmsg("could not read a temporary file: %m")));
	while ((n = BufFileRead(answer->page, piece, answer->target->size)) > 0)
		put_piece(answer, piece, n, false);
	BufFileClose(answer->page);
	answer->page = NULL;
}

/*
 * Append the lines of all rows, or of those of a page
 */
static void
append_rows(Answer *answer, ExportRows *rows)
{
	MemoryContext context =
		AllocSetContextCreate(answer->context, "fast_ingest export", ALLOCSET_DEFAULT_SIZES);
	int limit = answer->parameters->limit;
	ExportPlace place = {0};
	ExportRow row;

	for (int64 n = 0; ExportRowsNext(rows, &row); n++)
	{
		if (limit > 0 && n == limit)
		{
			ExportCursorPrint(&place, answer->next_cursor);
			break;
		}
		place = row.place;
		MemoryContextSwitchTo(context);
		if (answer->parameters->csv)
			ExportLineCsv(&answer->text, &row);
		else
			ExportLineJson(&answer->text, &row);
		MemoryContextSwitchTo(answer->context);
		MemoryContextReset(context);
		put_text(answer);
	}
	MemoryContextDelete(context);
}

void
ExportRun(const ExportTarget *target, const char *list, size_t len)
{
	ExportParameters parameters;
	Answer answer = {.target = target, .parameters = &parameters, .context = CurrentMemoryContext};
	ExportRows *rows;

	ExportParametersRead(&parameters, list, len);
	FiltersRequireKnown(&ExportParameterTable, &parameters.query);
	rows = ExportRowsOpen(&parameters, &target->steps);
	initStringInfo(&answer.text);
	if (parameters.limit > 0)
		answer.page = BufFileCreateTemp(false);
	if (parameters.csv)
		ExportLineCsvHeader(&answer.text);
	append_rows(&answer, rows);
	if (answer.page != NULL)
		put_page(&answer);
	put_piece(&answer, answer.text.data, answer.text.len, true);
}
