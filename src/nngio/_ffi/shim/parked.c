// Messages that a receive was given after its caller had gone: "parked" for the handle's next receive.
//
// Their order.  Receives are numbered as they begin, and NNG serves them in that order; callers come and go
// in any order.  So a message has the number of the receive that NNG gave it to, wherever it goes from there:
// it is parked in order of these numbers, and a receive that picks it up takes its number over.
//
// Which of them are still wanted.  Where an exchange is one message each way, a message belongs to it.
// When a REQ or SURVEYOR sends anew, replies to the request before are stale, parked already or still on
// their way into here; so is a request once a REP has received the next one, because it can't be answered
// any more.  So the handle knows from which number on they count.

#include <stdlib.h>

#include "internal.h"

static bool
is_before(uint32_t turn, uint32_t other)
{
	return ((int32_t) (turn - other) < 0);
}

static bool
is_stale(nngio_handle *h, uint32_t turn)
{
	return (is_before(turn, h->stale));
}

// Under the lock.
parked *
parked_take_first(nngio_handle *h)
{
	parked *node = h->parked_first;

	if (node != NULL) {
		if ((h->parked_first = node->next) == NULL) {
			h->parked_last = NULL;
		}
		atomic_fetch_sub(&h->parked_count, 1);
	}
	return (node);
}

// Under the lock.
void
parked_free(nngio_handle *h, parked *node)
{
	if (!reader_reuse(h, node)) {
		free(node);
	}
}

// Under the lock.
void
parked_insert(nngio_handle *h, parked *node)
{
	parked **link = &h->parked_first;

	if (h->parked_last != NULL && !is_before(node->turn, h->parked_last->turn)) {
		link = &h->parked_last->next;
	}
	while (*link != NULL && !is_before(node->turn, (*link)->turn)) {
		link = &(*link)->next;
	}
	if ((node->next = *link) == NULL) {
		h->parked_last = node;
	}
	*link = node;
	atomic_fetch_add(&h->parked_count, 1);
}

// Drops the messages that are stale.  Under the lock.
static void
drop_stale(nngio_handle *h)
{
	while (h->parked_first != NULL && is_stale(h, h->parked_first->turn)) {
		parked *node = parked_take_first(h);
		nng_msg_free(node->msg);
		free(node);
	}
}

// A receive that NNG has already would not look here for the message that is parked: the oldest one is
// aborted, and its callback picks the message up.  Under the lock, which the callback takes to leave the
// list, so the receive can't have become another operation meanwhile.  Not where an abort would end the
// survey; there the callback looks by itself, and only one that NNG does not have (left.c) is aborted.
void
wake_receiver(nngio_handle *h)
{
	if (h->parked_first == NULL) {
		return;
	}
	if (h->reader != NULL) {
		reader_deliver(h);
		return;
	}
	for (nngio_op *r = h->pending_first; r != NULL; r = r->pending_next) {
		if (r->kind == NNGIO_RECV && !r->redeliver && r->aborted == 0 && !r->left &&
		    ((h->flags & NNGIO_SURVEYS) == 0 || r == h->follower)) {
			if (handle_try_enter(h)) {
				r->redeliver = true;
				nng_aio_abort(r->aio, NNG_ECANCELED);
				handle_leave(h);
			}
			return;
		}
	}
}

// Keeps a message for the handle's next receive.
void
handle_park(nngio_handle *h, parked *node)
{
	pthread_mutex_lock(&h->lock);
	if (atomic_load(&h->closed) == 2 || is_stale(h, node->turn)) {
		pthread_mutex_unlock(&h->lock);
		nng_msg_free(node->msg);
		free(node);
		return;
	}
	parked_insert(h, node);
	wake_receiver(h);
	pthread_mutex_unlock(&h->lock);
}

// Keeps what the receive `op` has been given for the handle's next one.
void
op_park(nngio_op *op)
{
	parked *node = op->spare;

	batch_park(op);
	if (op->msg != NULL) {
		op->spare  = NULL;
		node->msg  = op->msg;
		node->turn = op->turn;
		op->msg    = NULL;
		handle_park(op->handle, node);
	}
}

// Waits for receives that were given up: what they were given comes before what a receive that begins now gets.
// It takes no longer than a thread of NNG's needs to run.  Called on any thread but those.  Who closes the handle waits for
// our caller, and may have been before those that would end such a receive: they leave it to that one.
void
handle_settle(nngio_handle *h)
{
	unsigned n;

	while ((n = atomic_load(&h->giving_up)) != 0 && atomic_load(&h->closed) == 0) {
		word_wait(&h->giving_up, n, 20);
	}
}

// Gives the receive the oldest message that is parked, if there is one.
bool
handle_unpark(nngio_handle *h, nngio_op *op)
{
	parked *node;

	if (atomic_load(&h->parked_count) == 0) {
		return (false);
	}
	pthread_mutex_lock(&h->lock);
	if ((node = parked_take_first(h)) != NULL) {
		op_keep(op, node->msg);
		op->turn = node->turn;
		parked_free(h, node);
	}
	pthread_mutex_unlock(&h->lock);
	return (node != NULL);
}

void
handle_unpark_all(nngio_handle *h)
{
	parked *node;

	pthread_mutex_lock(&h->lock);
	while ((node = parked_take_first(h)) != NULL) {
		nng_msg_free(node->msg);
		free(node);
	}
	pthread_mutex_unlock(&h->lock);
}

// A send begins a new exchange: what was received so far, or is being received, belongs to the one before.
void
handle_restarts(nngio_handle *h)
{
	pthread_mutex_lock(&h->lock);
	h->stale = atomic_fetch_add(&h->turn, 1) + 1;
	drop_stale(h);
	left_forget(h, NNG_ECANCELED);
	pthread_mutex_unlock(&h->lock);
}

// Whether a send has begun a new exchange since the receive began.
bool
handle_restarted(nngio_handle *h, nngio_op *op)
{
	bool stale;

	pthread_mutex_lock(&h->lock);
	stale = (h->flags & NNGIO_SEND_RESTARTS) != 0 && is_stale(h, op->turn);
	pthread_mutex_unlock(&h->lock);
	return (stale);
}

// NNG gave the receive a message: where that is the one to be answered now, it takes the place of those
// before.  Elsewhere the receive gets an older message that is parked, and this one is parked for it.  Under
// the lock.
nng_msg *
handle_delivered(nngio_handle *h, nngio_op *op, nng_msg *msg)
{
	parked *node;

	if ((h->flags & NNGIO_SEND_NEEDS_ONE) != 0 && !is_stale(h, op->turn)) {
		h->stale = op->turn;
		drop_stale(h);
	}
	if (h->parked_first != NULL && is_before(h->parked_first->turn, op->turn)) {
		uint32_t turn = op->turn;
		nng_msg *newer = msg;

		node       = parked_take_first(h);
		msg        = node->msg;
		op->turn   = node->turn;
		node->msg  = newer;
		node->turn = turn;
		parked_insert(h, node);
	}
	return (msg);
}
