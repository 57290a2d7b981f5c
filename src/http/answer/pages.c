/*
 * pages.c
 *
 * The files of src/http/answer/pages, built into the library.
 */
#include "postgres.h"

#include "http/answer/pages.h"

#include <microhttpd.h>

/* In pages_files.S: link-time optimization would tear assembler in here apart. */
extern const char docs_open_api[], docs_open_api_end[];
extern const char docs_page[], docs_page_end[];

Reply
DocsOpenApi(void)
{
	return (Reply){
		.status = MHD_HTTP_OK, .body = docs_open_api, .len = docs_open_api_end - docs_open_api};
}

Reply
DocsPage(void)
{
	return (Reply){.status = MHD_HTTP_OK,
				   .body = docs_page,
				   .len = docs_page_end - docs_page,
				   .type = "text/html; charset=utf-8"};
}
