/*
 * key_image.c
 *
 * Making, publishing, copying and searching images of the API keys.
 */
#include "postgres.h"

#include "shared/key_image.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "base/clock.h"
#include "base/settings.h"

/* Bytes of room for lists, for each of fast_ingest.max_api_keys. */
#define LISTS_PER_KEY 512

/* The place of a text of a list. */
typedef struct
{
	uint32 start;
	uint32 len;
} KeyItem;

typedef struct
{
	pg_atomic_uint64 generation; /* 0 before the first image */
	pg_atomic_uint64 claimed_at; /* when somebody last claimed to read the table; see clock.h */

	/* under the lock */
	bool loaded;
	int nkeys;
	size_t used;
	char data[FLEXIBLE_ARRAY_MEMBER];
} PublishedImage;

static PublishedImage *published = NULL;
static LWLock *lock = NULL;

/* The copy of this process. */
static struct
{
	uint64 generation;
	bool loaded;
	int nkeys;
	char *data;
} copy;

static Size
compute_image_size(void)
{
	return mul_size(fi_max_api_keys, sizeof(ApiKey) + LISTS_PER_KEY);
}

static Size
compute_published_size(void)
{
	return add_size(offsetof(PublishedImage, data), compute_image_size());
}

static void
attach_image(void *memory, LWLock *image_lock, bool is_new)
{
	published = memory;
	lock = image_lock;
	if (!is_new)
		return;
	memset(published, 0, offsetof(PublishedImage, data));
	pg_atomic_init_u64(&published->generation, 0);
	pg_atomic_init_u64(&published->claimed_at, 0);
}

const SharedPart KeyImagePart = {"fast_ingest keys", "fast_ingest_keys", compute_published_size,
								 attach_image};

KeyImage *
KeyImageCreate(int nkeys)
{
	KeyImage *image = palloc0(sizeof(KeyImage));

	image->used = Min(nkeys, fi_max_api_keys) * sizeof(ApiKey);
	/* zeroed, so that images of the same keys are equal bytes */
	image->data = palloc0(compute_image_size());
	return image;
}

static int
compare_texts(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int result = memcmp(a, b, Min(a_len, b_len));

	return result != 0 ? result : (a_len > b_len) - (a_len < b_len);
}

static int
compare_items(const void *a, const void *b, void *data)
{
	const KeyItem *left = a;
	const KeyItem *right = b;

	return compare_texts((char *) data + left->start, left->len, (char *) data + right->start,
						 right->len);
}

/*
 * Append a list to the image; false if there is no room
 */
static bool
add_list(KeyImage *image, KeyList *list, const KeyTexts *texts)
{
	size_t end = MAXALIGN(image->used);
	KeyItem *items = (KeyItem *) (image->data + end);

	list->n = texts->n;
	list->items = (uint32) end;
	if (texts->n <= 0)
		return true;
	if ((size_t) texts->n > compute_image_size() / sizeof(KeyItem))
		return false;
	end += texts->n * sizeof(KeyItem);
	for (int i = 0; i < texts->n; i++)
	{
		if (end > compute_image_size() || texts->lens[i] > compute_image_size() - end)
			return false;
		items[i] = (KeyItem){(uint32) end, (uint32) texts->lens[i]};
		memcpy(image->data + end, texts->texts[i], texts->lens[i]);
		end += texts->lens[i];
	}
	qsort_arg(items, texts->n, sizeof(KeyItem), compare_items, image->data);
	image->used = end;
	return true;
}

bool
KeyImageAdd(KeyImage *image, const ApiKey *key, const KeyTexts *site_ids, const KeyTexts *channels,
			const KeyTexts *origins)
{
	size_t used = image->used;
	ApiKey added = *key;

	if (image->nkeys == fi_max_api_keys || !add_list(image, &added.site_ids, site_ids) ||
		!add_list(image, &added.channels, channels) || !add_list(image, &added.origins, origins))
	{
		image->used = used;
		return false;
	}
	((ApiKey *) image->data)[image->nkeys++] = added;
	return true;
}

static int
compare_keys(const void *a, const void *b)
{
	const ApiKey *left = a;
	const ApiKey *right = b;

	return (left->id > right->id) - (left->id < right->id);
}

void
KeyImageFinish(KeyImage *image)
{
	qsort(image->data, image->nkeys, sizeof(ApiKey), compare_keys);
}

uint64
KeyImageGeneration(void)
{
	return pg_atomic_read_u64(&published->generation);
}

bool
KeyImageIsLoaded(void)
{
	bool loaded;

	LWLockAcquire(lock, LW_SHARED);
	loaded = published->loaded;
	LWLockRelease(lock);
	return loaded;
}

/*
 * Does an image equal the published one? The lock is held
 */
static bool
is_published(const KeyImage *image)
{
	if (image == NULL || !published->loaded)
		return image == NULL && !published->loaded;
	return published->nkeys == image->nkeys && published->used == image->used &&
		   memcmp(published->data, image->data, image->used) == 0;
}

bool
KeyImagePublish(const KeyImage *image, uint64 expected)
{
	bool current;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	current = expected == ANY_GENERATION || expected == pg_atomic_read_u64(&published->generation);
	if (current && !is_published(image))
	{
		published->loaded = image != NULL;
		published->nkeys = image != NULL ? image->nkeys : 0;
		published->used = image != NULL ? image->used : 0;
		if (image != NULL)
			memcpy(published->data, image->data, image->used);
		pg_atomic_fetch_add_u64(&published->generation, 1);
	}
	LWLockRelease(lock);
	return current;
}

bool
KeyImageClaimReading(int64 now, int interval)
{
	uint64 before = pg_atomic_read_u64(&published->claimed_at);

	return now >= MonotonicAfter((int64) before, interval) &&
		   pg_atomic_compare_exchange_u64(&published->claimed_at, &before, (uint64) now);
}

void
KeyImageAttach(void)
{
	copy.data = MemoryContextAlloc(TopMemoryContext, compute_image_size());
	/* libmicrohttpd calls ApiKeyFind(), where an ERROR could not be caught */
	if (Sha256ProcessContext() == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
}

uint64
KeyImageRefresh(bool *loaded)
{
	if (copy.generation != pg_atomic_read_u64(&published->generation))
	{
		LWLockAcquire(lock, LW_SHARED);
		copy.generation = pg_atomic_read_u64(&published->generation);
		copy.loaded = published->loaded;
		copy.nkeys = published->nkeys;
		memcpy(copy.data, published->data, published->used);
		LWLockRelease(lock);
	}
	*loaded = copy.loaded;
	return copy.generation;
}

const ApiKey *
KeyImageFind(uint64 id, const Sha256Digest *digest)
{
	ApiKey wanted = {.id = id};
	const ApiKey *key = bsearch(&wanted, copy.data, copy.nkeys, sizeof(ApiKey), compare_keys);

	return key != NULL && Sha256DigestEquals(&key->digest, digest) ? key : NULL;
}

Slice
KeyListText(const KeyList *list, int i)
{
	const KeyItem *item = (const KeyItem *) (copy.data + list->items) + i;

	return (Slice){copy.data + item->start, item->len};
}

bool
KeyAllows(const KeyList *list, const char *text, size_t len)
{
	const KeyItem *items = (const KeyItem *) (copy.data + list->items);
	int low = 0;
	int high = list->n;

	if (list->n < 0)
		return true;
	while (low < high)
	{
		int middle = (low + high) / 2;
		int result = compare_texts(text, len, copy.data + items[middle].start, items[middle].len);

		if (result == 0)
			return true;
		if (result < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}
