// NNG's log, on its way to Python.
//
// NNG calls its logger on whichever thread has something to say, its own ones included, and may hold locks while it
// does, that of its start among them.  So the record is copied, the callback thread is woken, and that is all: nothing
// of NNG is called, and nobody waits for Python.  When Python is too slow for what comes, the newest records are
// dropped, and counted.

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "internal.h"
#include "nngio_features.h"

#define RECORDS 512

static pthread_mutex_t   log_lock = PTHREAD_MUTEX_INITIALIZER; // of all below; whoever has it takes no other
static nngio_log_record *records; // a ring
static unsigned          first, count;
static uint64_t          dropped;
static nngio_queue      *waker; // held for ever: a thread may be in the logger at any time

static void
copy_text(char *to, size_t size, const char *from)
{
	size_t len = from != NULL ? strnlen(from, size - 1) : 0;

	if (len != 0) {
		memcpy(to, from, len);
	}
	to[len] = '\0';
}

// Keeps a record.  Called on any thread, see above.
void
log_keep(int level, int facility, const char *id, const char *text)
{
	struct timespec now;
	nngio_queue    *queue;

	if (nngio_forked()) {
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&log_lock);
	queue = waker;
	if (records == NULL || count == RECORDS) {
		dropped++;
	} else {
		nngio_log_record *r = &records[(first + count++) % RECORDS];
		r->level            = level;
		r->facility         = facility;
		r->seconds          = (double) now.tv_sec + (double) now.tv_nsec / 1e9;
		copy_text(r->id, sizeof(r->id), id);
		copy_text(r->text, sizeof(r->text), text);
	}
	pthread_mutex_unlock(&log_lock);
	if (queue != NULL) {
		nngio_queue_wake(queue);
	}
}

#ifdef NNGIO_HAVE_nng_log_set_logger
static void
logger(nng_log_level level, nng_log_facility facility, const char *id, const char *text)
{
	log_keep((int) level, (int) facility, id, text);
}
#endif

// Makes room for records, and NNG leave them here.  NNG_ENOMEM is possible, and NNG_ENOTSUP before NNG 1.8.
int
nngio_log_start(void)
{
	int rv = 0;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	pthread_mutex_lock(&log_lock);
	if (records == NULL && (records = calloc(RECORDS, sizeof(*records))) == NULL) {
		rv = NNG_ENOMEM;
	}
	pthread_mutex_unlock(&log_lock);
	if (rv == 0) {
#ifdef NNGIO_HAVE_nng_log_set_logger
		nng_log_set_logger(logger);
#else
		rv = NNG_ENOTSUP;
#endif
	}
	return (rv);
}

// Names the queue that is woken for each record; once is enough.
void
nngio_log_wakes(nngio_queue *q)
{
	if (nngio_forked()) {
		return;
	}
	pthread_mutex_lock(&log_lock);
	if (waker == NULL) {
		queue_hold(q);
		waker = q;
	}
	pthread_mutex_unlock(&log_lock);
	nngio_queue_wake(q);
}

// Takes the oldest record away; false when there is none.  `lost` is how many were dropped since the last time.
bool
nngio_log_take(nngio_log_record *record, uint64_t *lost)
{
	bool any;

	if (nngio_forked()) {
		*lost = 0;
		return (false);
	}
	pthread_mutex_lock(&log_lock);
	if ((any = count != 0)) {
		*record = records[first];
		first   = (first + 1) % RECORDS;
		count--;
	}
	*lost   = dropped;
	dropped = 0;
	pthread_mutex_unlock(&log_lock);
	return (any);
}
