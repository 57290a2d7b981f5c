/*
 * request.c
 *		The requests event_client sends.
 *
 * What a request holds depends on its number alone, but for the time of events
 * that happen when they are sent: so a run can be repeated.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

#define FIRST_TIME 1723420800 /* 2024-08-12 00:00:00 UTC: all events are of that day */
#define REQUESTS_A_SECOND 100
#define EVENT_ROOM 512 /* more than any event or row needs */
#define HEAD_ROOM 256
#define USER_DIGITS 7 /* MAX_USERS - 1 */
#define SITE_DIGITS 4 /* MAX_SITES - 1 */
#define TIME_DIGITS 10

EventForm event_form = {.n_events = 1, .n_sites = 1};

static const char *const names[] = {
	"product_view", "add_to_cart", "page_view", "purchase", "search",
	"sign_up",		"sign_in",	   "refund",	"share",	"unsubscribe",
};
static const char *const channels[] = {"web", "mobile", "email", "api", "push"};
static const char *const json_tags[] = {"\"electronics\",\"homepage\",\"flash_sale\"",
										"\"books\",\"search\",\"gift\"",
										"\"garden\",\"newsletter\",\"returning\""};
static const char *const row_tags[] = {"electronics,homepage,flash_sale", "books,search,gift",
									   "garden,newsletter,returning"};

/* The i-th event of a request as a row for COPY */
static int
write_row(char *text, int i)
{
	return sprintf(
		text,
		"%s\t%s\tuser_###%03d\t2024-08-12 ##:##:##+00\tcmp_%03d\tsite_%d\t/products/%d\t{%s}\t"
		"{\"product_id\":\"prod-########%03d\",\"price\":129.99,\"currency\":\"TRY\",\"referrer\":\"google\"}\n",
		names[i % 5], channels[i % 3], i, i % 50, i % 7, i % 200, row_tags[i % 3], i);
}

/* The i-th event of a request as JSON */
static int
write_json(char *text, int i)
{
	const char *name = names[i % 5];
	const char *channel = channels[i % 3];
	int path = i % 200;
	char user[16];
	char site[8] = "####";
	char plan[24] = "";

	if (event_form.n_users > 0)
	{
		/* 1,000 events are each name with each channel and each path once, 100 have all paths */
		name = names[i % 10];
		channel = channels[i / 10 % 5];
		path = (i / 50 + 3 * (i % 10) + 7 * (i / 10 % 5)) % 20;
		strcpy(user, "#######");
		snprintf(plan, sizeof(plan), ",\"plan\":\"plan_%d\"", i % 20);
	}
	else
	{
		snprintf(user, sizeof(user), "###%03d", i);
		snprintf(site, sizeof(site), "%d", i % 7);
	}

	return sprintf(
		text,
		"{\"event_name\":\"%s\",\"channel\":\"%s\",\"user_id\":\"user_%s\",\"timestamp\":##########,"
		"\"campaign_id\":\"cmp_%03d\",\"site_id\":\"site_%s\",\"path\":\"/products/%d\",\"tags\":[%s],"
		"\"metadata\":{\"product_id\":\"prod-########%03d\",\"price\":129.99,\"currency\":\"TRY\",\"referrer\":\"google\"%s}}",
		name, channel, user, i % 50, site, path, json_tags[i % 3], i, plan);
}

/*
 * Write the i-th event of a request to `text` and note where its digits are.
 * Returns its length.
 */
static size_t
write_event(char *text, int i, Place *place)
{
	int size = event_form.write_rows ? write_row(text, i) : write_json(text, i);

	place->user = (size_t) (strstr(text, "user_###") + 5 - text);
	place->product = (size_t) (strstr(text, "prod-########") + 5 - text);
	if (event_form.n_users > 0)
		place->site = (size_t) (strstr(text, "site_####") + 5 - text);
	place->time = (size_t) (strstr(text, event_form.write_rows ? "##:##:##" : "##########") - text);
	return (size_t) size;
}

int
build_template(Template *template)
{
	int n_events = event_form.n_events;
	int write_rows = event_form.write_rows;
	char *body = malloc((size_t) n_events * EVENT_ROOM + 2);
	char head[HEAD_ROOM] = "";
	size_t head_size;
	size_t size = 0;

	if (body == NULL)
		return 0;

	if (!write_rows && n_events > 1)
		body[size++] = '[';
	for (int i = 0; i < n_events; i++)
	{
		Place *place = &template->places[i];
		size_t length;

		if (!write_rows && i > 0)
			body[size++] = ',';
		length = write_event(body + size, i, place);
		place->user += size;
		place->product += size;
		place->site += size;
		place->time += size;
		size += length;
	}
	if (!write_rows && n_events > 1)
		body[size++] = ']';

	if (!write_rows)
		snprintf(head, sizeof(head),
				 "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
				 "Content-Length: %zu\r\n\r\n",
				 n_events > 1 ? "/events/bulk" : "/events", event_form.port, size);
	head_size = strlen(head);

	template->size = head_size + size;
	template->text = malloc(template->size);
	if (template->text == NULL)
	{
		free(body);
		return 0;
	}
	memcpy(template->text, head, head_size);
	memcpy(template->text + head_size, body, size);
	for (int i = 0; i < n_events; i++)
	{
		template->places[i].user += head_size;
		template->places[i].product += head_size;
		template->places[i].site += head_size;
		template->places[i].time += head_size;
	}
	free(body);
	return 1;
}

static void
write_digits(char *text, int digits, uint64_t number)
{
	while (digits-- > 0)
	{
		text[digits] = (char) ('0' + number % 10);
		number /= 10;
	}
}

/* The next pseudorandom number (splitmix64) */
static uint64_t
draw(uint64_t *state)
{
	uint64_t x = *state += UINT64_C(0x9E3779B97F4A7C15);

	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

static uint64_t
draw_site(uint64_t *state)
{
	double share;

	if (event_form.n_sites == 1)
		return 0;
	share = (double) (draw(state) >> 11) / 0x1p53;
	return (uint64_t) (share * share * share * event_form.n_sites);
}

/* Users, sites and times, of event_form.n_users */
static void
fill_drawn(Template *template, long number, long slice)
{
	uint64_t state = (uint64_t) number << 32;
	uint64_t user = (uint64_t) slice * (uint64_t) event_form.n_events;
	double share = 0;
	time_t second = 0;

	if (event_form.n_slices > 0)
		share = (double) event_form.duration / (double) event_form.n_slices;
	else
		second = time(NULL);

	for (int i = 0; i < event_form.n_events; i++, user++)
	{
		char *text = template->text;
		Place *place = &template->places[i];

		if (!event_form.users_in_turn)
			user = draw(&state);
		if (event_form.n_slices > 0)
			second = event_form.from +
					 (time_t) (((double) slice + (double) (draw(&state) >> 11) / 0x1p53) * share);
		write_digits(text + place->user, USER_DIGITS, user % (uint64_t) event_form.n_users);
		write_digits(text + place->product, 8, (uint64_t) number);
		write_digits(text + place->site, SITE_DIGITS, draw_site(&state));
		write_digits(text + place->time, TIME_DIGITS, (uint64_t) second);
	}
}

void
fill_template(Template *template, long number, long slice)
{
	char user[8];
	char product[16];
	char time[16];
	int second = (int) (number / REQUESTS_A_SECOND % 86400);
	size_t time_size;

	if (event_form.n_users > 0)
	{
		fill_drawn(template, number, slice);
		return;
	}

	/* time passes as it does for clients that send what just happened */
	if (event_form.write_rows)
		snprintf(time, sizeof(time), "%02d:%02d:%02d", second / 3600, second / 60 % 60,
				 second % 60);
	else
		snprintf(time, sizeof(time), "%d", FIRST_TIME + second);
	time_size = strlen(time);
	snprintf(user, sizeof(user), "%03d", (int) (number % 1000));
	snprintf(product, sizeof(product), "%08d", (int) (number % 100000000));
	for (int i = 0; i < event_form.n_events; i++)
	{
		memcpy(template->text + template->places[i].user, user, 3);
		memcpy(template->text + template->places[i].product, product, 8);
		memcpy(template->text + template->places[i].time, time, time_size);
	}
}
