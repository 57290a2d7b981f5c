/*
 * pages.c
 *
 * Serves the files of src/http/answer/pages, which are built into the library.
 */
#include "postgres.h"

#include "http/answer/pages.h"

#include <microhttpd.h>

/*
 * pages_files.S defines them: link-time optimization would tear apart assembler in a C file.
 */
extern const char page_open_api[], page_open_api_end[];
extern const char page_docs[], page_docs_end[];

Reply
PageOpenApi(void)
{
	return (Reply){
		.status = MHD_HTTP_OK, .body = page_open_api, .len = page_open_api_end - page_open_api};
}

Reply
PageDocs(void)
{
	return (Reply){.status = MHD_HTTP_OK,
				   .body = page_docs,
				   .len = page_docs_end - page_docs,
				   .type = "text/html; charset=utf-8"};
}
