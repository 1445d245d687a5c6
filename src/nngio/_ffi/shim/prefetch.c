// Read-ahead: a handle that receives without being asked, up to a number of messages.
//
// One aio of the handle's own, the reader's, is always with NNG unless there are enough messages; what it brings
// is parked, where every receive looks first (parked.c).  So nobody else receives from NNG on such a handle.  A
// receive that finds nothing waits in the list of pending operations until the reader's callback hands it a
// message: on no aio if it may wait for ever, else on a sleep that ends when its time is up (as in left.c).
// Messages are handed out in the order in which receives began.
//
// What is in the reader changes under the handle's lock.

#include <stdlib.h>

#include "internal.h"

struct reader {
	nng_aio *aio;
	parked  *spare;   // for the next message; there is one whenever nothing is parked
	int      max;     // read no further ahead than this
	bool     stopped; // the handle is being closed
	uint32_t turn;    // of the receive that NNG has
	atomic_bool armed; // NNG has the aio, or its callback runs
};

// Under the lock.
static void
reader_equip(reader *r)
{
	if (r->spare == NULL) {
		r->spare = malloc(sizeof(*r->spare));
	}
}

// Keeps what held a message for the next one, if that is needed.  Under the lock.
bool
reader_reuse(nngio_handle *h, parked *node)
{
	reader *r = h->reader;

	if (r == NULL || r->spare != NULL) {
		return (false);
	}
	r->spare = node;
	return (true);
}

// Under the lock.
static nngio_op *
first_that_waits(nngio_handle *h)
{
	nngio_op *op = h->pending_first;

	while (op != NULL && (op->kind != NNGIO_RECV || op->msg != NULL || op->aborted != 0)) {
		op = op->pending_next;
	}
	return (op);
}

// Hands the messages that are parked to the receives that wait.  Under the lock; called by any thread.
void
reader_deliver(nngio_handle *h)
{
	nngio_op *op;

	while (h->parked_first != NULL && (op = first_that_waits(h)) != NULL) {
		parked *node    = parked_take_first(h);
		int     custody = CUSTODY_NNG;

		op_keep(op, node->msg);
		op->turn = node->turn;
		if (op->sleeps) {
			parked_free(h, node);
			nng_aio_abort(op->aio, NNG_ECANCELED); // it has its message: see finish_wait
			continue;
		}
		pending_unlink(op);
		if (atomic_compare_exchange_strong(&op->custody, &custody, CUSTODY_OWNER)) {
			parked_free(h, node);
			op_complete(op, 0);
		} else { // it was given up in this moment
			op->msg = NULL;
			parked_insert(h, node);
			recv_complete(op, NNG_ECANCELED);
		}
	}
}

// Ends a receive that waits on no aio.  Under the lock; it has no message, so this does not take it again.
static void
end_waiting(nngio_op *op, int result)
{
	pending_unlink(op);
	recv_complete(op, result);
}

// Ends a receive that waits here.  Under the lock.
void
reader_abort(nngio_op *op, int code)
{
	if (op->sleeps) {
		nng_aio_abort(op->aio, code);
	} else {
		end_waiting(op, code);
	}
}

// Gives NNG the aio, if there is room for more messages.  Between handle_enter and handle_leave.
void
reader_go_on(nngio_handle *h)
{
	reader *r = h->reader;
	bool    go;

	if (r == NULL || atomic_load(&r->armed) || atomic_load(&h->parked_count) > (unsigned) r->max / 2) {
		return;
	}
	pthread_mutex_lock(&h->lock);
	reader_equip(r);
	go = !r->armed && !r->stopped && r->spare != NULL;
	if (go) {
		r->armed = true;
		r->turn  = atomic_fetch_add(&h->turn, 1) + 1;
	}
	pthread_mutex_unlock(&h->lock);
	if (go) {
		nng_socket s = { .id = h->id };
		nng_recv_aio(s, r->aio);
	}
}

// Called on a thread of NNG's, task or pipe.
static void
read_one(void *arg)
{
	nngio_handle *h      = arg;
	reader       *r      = h->reader;
	int           result = nng_aio_result(r->aio);
	nng_msg      *msg    = nng_aio_get_msg(r->aio);
	bool          again;

	nng_aio_set_msg(r->aio, NULL);
	pthread_mutex_lock(&h->lock);
	if (msg != NULL) {
		parked *node = r->spare;

		node->msg  = msg;
		node->turn = r->turn;
		r->spare   = NULL;
		parked_insert(h, node);
		reader_deliver(h);
		reader_equip(r);
	} else if (!r->stopped) {
		for (nngio_op *op; (op = first_that_waits(h)) != NULL;) {
			if (op->sleeps) {
				break; // its time will be up
			}
			end_waiting(op, result);
		}
	}
	again = msg != NULL && !r->stopped && r->spare != NULL &&
	    atomic_load(&h->parked_count) < (unsigned) r->max && handle_try_enter(h);
	if (again) {
		r->turn = atomic_fetch_add(&h->turn, 1) + 1;
	} else {
		r->armed = false;
	}
	pthread_mutex_unlock(&h->lock);
	if (again) {
		nng_socket s = { .id = h->id };
		nng_recv_aio(s, r->aio);
		handle_leave(h);
	}
}

// Begins to read ahead, up to `max` messages.  Before the handle's first receive, by whoever opened it.
int
nngio_prefetch(nngio_handle *h, int max)
{
	reader *r;
	int     rv;

	if ((rv = handle_enter(h)) != 0) {
		return (rv);
	}
	if ((r = calloc(1, sizeof(*r))) == NULL || (r->spare = malloc(sizeof(*r->spare))) == NULL ||
	    nng_aio_alloc(&r->aio, read_one, h) != 0) {
		if (r != NULL) {
			free(r->spare);
			free(r);
		}
		handle_leave(h);
		return (NNG_ENOMEM);
	}
	nng_aio_set_timeout(r->aio, NNG_DURATION_INFINITE); // not the socket's
	r->max    = max;
	h->reader = r;
	reader_go_on(h);
	handle_leave(h);
	return (0);
}

// A receive that has found nothing parked waits for a message.  Between handle_enter and handle_leave.
void
reader_wait(nngio_op *op, int ms)
{
	nngio_handle *h = op->handle;

	if (ms == 0) {
		op_complete(op, NNG_ETIMEDOUT);
		return;
	}
	op->ms     = ms;
	op->sleeps = ms > 0;
	if (op->sleeps) {
		op->begun = nng_clock();
	}
	handle_hold(h); // the operation may be over before this is
	atomic_store(&op->custody, CUSTODY_NNG);
	pthread_mutex_lock(&h->lock);
	op->waits = true;
	pending_link(op);
	if (op->sleeps) {
		op_sleep(op);
	}
	reader_deliver(h);
	pthread_mutex_unlock(&h->lock);
	reader_go_on(h);
	handle_rele(h);
}

// The end of the sleep of a receive that waits here: its time is up, it was aborted, or it has its message.
void
finish_wait(nngio_op *op)
{
	int result = nng_aio_result(op->aio), aborted;

	pending_remove(op, &op->aio, NULL, &aborted);
	if (op->msg != NULL) {
		result = 0;
	} else if (aborted != 0 && result == NNG_ECANCELED) {
		result = aborted;
	}
	recv_complete(op, result);
}

// The handle is closed: nobody enters it any more.  Waits for the callback.
void
reader_end(nngio_handle *h)
{
	reader *r = h->reader;

	if (r != NULL) {
		pthread_mutex_lock(&h->lock);
		r->stopped = true;
		pthread_mutex_unlock(&h->lock);
		nng_aio_stop(r->aio);
		for (int turn = 0; atomic_load(&r->armed) && turn < 10000; turn++) {
			pause_briefly(turn); // NNG after 1.8 may only be about to call it
		}
		nng_aio_free(r->aio);
		r->aio = NULL;
	}
}

void
reader_free(nngio_handle *h)
{
	if (h->reader != NULL) {
		free(h->reader->spare);
		free(h->reader);
	}
}
