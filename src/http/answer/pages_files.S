/*
 * pages_files.S
 *
 * The files of src/http/answer/pages, for pages.c. The Makefile says where they are.
 */
	.section .rodata
	.hidden docs_open_api, docs_open_api_end, docs_page, docs_page_end
	.global docs_open_api, docs_open_api_end, docs_page, docs_page_end
docs_open_api:
	.incbin "openapi.json"
docs_open_api_end:
docs_page:
	.incbin "docs.html"
docs_page_end:
	.section .note.GNU-stack, "", %progbits
