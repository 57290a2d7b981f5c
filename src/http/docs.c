/*
 * docs.c
 *
 * The files of src/http/docs, built into the library.
 */
#include "postgres.h"

#include "http/docs.h"

#include <microhttpd.h>

/* The assembler finds the files: see the Makefile. */
#define EMBED(name, file) \
	extern const char name[] __attribute__((visibility("hidden"))); \
	extern const char name##_end[] __attribute__((visibility("hidden"))); \
	__asm__(".pushsection .rodata\n" \
			".global " #name ", " #name "_end\n" \
			".hidden " #name ", " #name "_end\n" #name ": .incbin \"" file "\"\n" #name "_end:\n" \
			".popsection\n")

EMBED(docs_open_api, "openapi.json");
EMBED(docs_page, "docs.html");

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
