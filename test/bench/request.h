/*
 * request.h
 *		The requests event_client sends: whole HTTP requests, or rows for COPY, in
 *		memory, of which only the digits that differ are written anew.
 */
#ifndef FAST_INGEST_BENCH_REQUEST_H
#define FAST_INGEST_BENCH_REQUEST_H

#include <stddef.h>
#include <time.h>

#define MAX_EVENTS 1000
#define MAX_USERS 10000000 /* they have 7 digits */
#define MAX_SITES 10000	   /* 4 digits */

/* What the events are; set before the first template is built */
typedef struct EventForm
{
	int port;		/* for the Host header */
	int n_events;	/* of a request */
	int write_rows; /* rows for COPY, no request */

	/*
	 * 0: 5 names, 3 channels, 7 sites, and time passes by the request's number.
	 * Else 10 names, 5 channels and the 20 paths of a site, equally often, and
	 * that many users, drawn at random or, with users_in_turn, one after the other.
	 * Of n_sites the first has most events: a tenth of 1,000, the median 1 in 1,900.
	 */
	int n_users;
	int users_in_turn;
	int n_sites;

	/*
	 * With n_users: n_slices requests share `duration` seconds from `from` on; the
	 * events of each are at random seconds of its share.  n_slices 0: events
	 * happen when their request is made.
	 */
	time_t from;
	long duration;
	long n_slices;
} EventForm;

/*
 * Where the digits are in an event's text: those of the user that come from the
 * request's number, the 8 digits of the product that are the number, the site
 * (with n_users), and the time.  The digits after the product's are the event's place in its
 * request.
 */
typedef struct Place
{
	size_t user;
	size_t product;
	size_t site;
	size_t time;
} Place;

/* A request (or the rows of one) in memory, ready but for the digits */
typedef struct Template
{
	char *text;
	size_t size;
	Place places[MAX_EVENTS];
} Template;

extern EventForm event_form;

/* Build the request, or the rows, in memory of its own, which is never freed; 0 if there is none */
extern int build_template(Template *template);

/* Make the template the request of this number, the slice-th of all */
extern void fill_template(Template *template, long number, long slice);

#endif
