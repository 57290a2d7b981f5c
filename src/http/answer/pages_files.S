/*
 * pages_files.S
 *
 * The files of src/http/answer/pages, for pages.c. The Makefile gives the assembler their
 * folder.
 */
	.section .rodata
	.hidden page_open_api, page_open_api_end, page_docs, page_docs_end
	.global page_open_api, page_open_api_end, page_docs, page_docs_end
page_open_api:
	.incbin "openapi.json"
page_open_api_end:
page_docs:
	.incbin "docs.html"
page_docs_end:
	.section .note.GNU-stack, "", %progbits
