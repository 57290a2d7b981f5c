/*
 * pages_files.S
 *
 * What web/bundle.pl makes of the files of web/, for pages.c. The Makefile gives the assembler
 * their folder.
 */
	.section .rodata

	/* the bytes of a file, and those of a text, with a NUL behind it */
	.macro bytes name, file
	.hidden \name, \name\()_end
	.global \name, \name\()_end
\name:
	.incbin "\file"
\name\()_end:
	.endm

	.macro text name, file
	.hidden \name
	.global \name
\name:
	.incbin "\file"
	.byte 0
	.endm

	bytes page_dashboard, "index.html"
	bytes page_dashboard_gzip, "index.html.gz"
	text page_dashboard_etag, "index.html.etag"
	text page_dashboard_policy, "index.html.csp"

	bytes page_docs, "docs.html"
	bytes page_docs_gzip, "docs.html.gz"
	text page_docs_etag, "docs.html.etag"
	text page_docs_policy, "docs.html.csp"

	bytes page_open_api, "openapi.json"
	bytes page_open_api_gzip, "openapi.json.gz"
	text page_open_api_etag, "openapi.json.etag"

	.section .note.GNU-stack, "", %progbits
