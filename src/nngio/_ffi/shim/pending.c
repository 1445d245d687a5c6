// The operations that NNG has, in a list for each handle, and what becomes of their aios.
//
// Late cancels.  When an aio's time is up, NNG's timer thread takes note of the aio and of the function
// that cancels it, lets go of its lock, and only then calls the function, with the protocol's data as an
// argument.  By then the operation may be over for another reason, and
//
//   - the aio may have been submitted again: that operation is cancelled instead, with a timeout that is
//     not its own, or
//   - the socket or context may be closed and freed.
//
// NNG waits for that thread in one place only, nng_aio_free.  So an aio whose operation ended when its time
// was up, or after, is "retired": it is not submitted again, and it is freed before the handle is closed.
// And before a handle is closed, its operations are ended from here, so that no aio is left whose time
// could be up while NNG closes.

#include <stdlib.h>

#include "internal.h"

#define RETIRED_MAX 32

void
pending_add(nngio_op *op)
{
	nngio_handle *h = op->handle;

	pthread_mutex_lock(&h->lock);
	op->pending_next = NULL;
	op->pending_prev = h->pending_last;
	*(h->pending_last != NULL ? &h->pending_last->pending_next : &h->pending_first) = op;
	h->pending_last                                                                  = op;
	atomic_store(&op->listed, h);
	pthread_mutex_unlock(&h->lock);
}

// Takes an operation off the list, when NNG has finished it; `delivered` is the message of a receive, which
// may become another, or NULL.  Returns whether a receive was aborted for the sake of a parked message, and in
// `aborted` the code that its owner has asked for, or 0.
bool
pending_remove(nngio_op *op, nng_msg **delivered, int *aborted)
{
	nngio_handle *h = op->handle;
	bool          redeliver;

	pthread_mutex_lock(&h->lock);
	*(op->pending_next != NULL ? &op->pending_next->pending_prev : &h->pending_last) =
	    op->pending_prev;
	*(op->pending_prev != NULL ? &op->pending_prev->pending_next : &h->pending_first) =
	    op->pending_next;
	atomic_store(&op->listed, NULL);
	redeliver     = op->redeliver;
	op->redeliver = false;
	*aborted      = op->aborted;
	if (delivered != NULL && *delivered != NULL) {
		*delivered = handle_delivered(h, op, *delivered);
		if (redeliver) {
			wake_receiver(h); // another, since this one does not need what is parked
		}
	}
	pthread_mutex_unlock(&h->lock);
	return (redeliver);
}

// What came while NNG did not have the receive yet found nothing to abort: the owner's abort, when the
// callback submits anew, and a message that was parked.  By now the receive may be over and the operation
// in use for something else; then it is not in the list, or it is there anew, and its flags are those of
// the new one.
void
pending_look_again(nngio_handle *h, nngio_op *op)
{
	pthread_mutex_lock(&h->lock);
	if (atomic_load(&op->listed) == h && (op->aborted != 0 || op->redeliver)) {
		nng_aio_abort(op->aio, op->aborted != 0 ? op->aborted : NNG_ECANCELED);
	}
	wake_receiver(h);
	pthread_mutex_unlock(&h->lock);
}

// Ends all operations with NNG_ECLOSED and waits until NNG has let go of them.  Nobody is between
// handle_enter and handle_leave any more.
void
pending_end(nngio_handle *h)
{
	bool some = true;

	pthread_mutex_lock(&h->lock);
	if ((h->flags & NNGIO_KEEP_SEND) == 0) {
		for (nngio_op *op = h->pending_first; op != NULL; op = op->pending_next) {
			if (op->aborted == 0) {
				op->aborted = NNG_ECLOSED;
			}
			nng_aio_abort(op->inlined ? op->inline_aio : op->aio, NNG_ECLOSED);
		}
	}
	pthread_mutex_unlock(&h->lock);
	// Microseconds, or NNG has lost one; closing ends it then.
	for (int turn = 0; some && turn < 10000; turn++) {
		pause_briefly(turn);
		pthread_mutex_lock(&h->lock);
		some = h->pending_first != NULL;
		pthread_mutex_unlock(&h->lock);
	}
}

// A timeout with the handle's own in place of NNG_DURATION_DEFAULT; 0 when the handle does not tell any
// more.  NNG may hold the lock of the socket's options while it runs a callback: not to be called there.
int
explicit_ms(nngio_op *op, int ms)
{
	const char *name = op->kind == NNGIO_SEND ? NNG_OPT_SENDTIMEO : NNG_OPT_RECVTIMEO;
	uint32_t    id   = op->handle->id;

	if (ms != NNG_DURATION_DEFAULT) {
		return (ms);
	}
	ms = 0;
	if (handle_try_enter(op->handle)) {
		if ((op->handle->flags & NNGIO_CTX) != 0) {
			nng_ctx c = { .id = id };
			(void) nng_ctx_get_ms(c, name, &ms);
		} else {
			nng_socket s = { .id = id };
			(void) nng_socket_get_ms(s, name, &ms);
		}
		handle_leave(op->handle);
	}
	return (ms);
}

// The milliseconds that a pending operation still has, 0 when its time is up; -1 for ever.
int
time_left(nngio_op *op)
{
	int      ms = op->ms;
	nng_time passed;

	if (ms == NNG_DURATION_INFINITE || ms == 0) {
		return (ms);
	}
	passed = nng_clock() - op->begun;
	if (passed == 0) {
		return (1); // no timeout is shorter
	}
	if ((ms = explicit_ms(op, ms)) == NNG_DURATION_INFINITE) {
		return (ms);
	}
	return (passed < (nng_time) ms ? ms - (int) passed : 0);
}

// The operation is over, and off the list: if its time was up, makes sure that its aio, which is one of
// the operation's two, is not used again.
void
retire_if_late(nngio_op *op, nng_aio **aio)
{
	nngio_handle *h     = op->handle;
	nng_aio      *fresh = NULL;
	retired      *node, *old = NULL;

	if (((h->flags & NNGIO_SURVEYS) == 0 || op->kind != NNGIO_RECV) && time_left(op) != 0) {
		return;
	}
	if (op->ms == 0) {
		return; // NNG does not hand those to its timer
	}
	if ((node = malloc(sizeof(*node))) == NULL ||
	    (aio == &op->aio && nng_aio_alloc(&fresh, op_callback, op) != 0)) {
		free(node); // the risk is smaller than an operation without an aio
		return;
	}
	node->aio  = *aio;
	node->next = NULL;
	*aio       = fresh;
	pthread_mutex_lock(&h->lock);
	*(h->retired_last != NULL ? &h->retired_last->next : &h->retired_first) = node;
	h->retired_last                                                         = node;
	if (++h->retired_count > RETIRED_MAX) {
		old              = h->retired_first;
		h->retired_first = old->next;
		h->retired_count--;
	}
	pthread_mutex_unlock(&h->lock);
	if (old != NULL) {
		nng_aio_reap(old->aio); // the same on a thread of its own: this may be one of NNG's
		free(old);
	}
}

// Frees them.  With `wait` the timer thread has let go of them afterwards, which takes no longer than it needs
// to run.  Without, that is left to a thread of its own: the caller may be in the callback of one of them.
void
retired_free(nngio_handle *h, bool wait)
{
	retired *node;

	pthread_mutex_lock(&h->lock);
	node             = h->retired_first;
	h->retired_first = h->retired_last = NULL;
	h->retired_count                   = 0;
	pthread_mutex_unlock(&h->lock);
	while (node != NULL) {
		retired *next = node->next;
		(wait ? nng_aio_free : nng_aio_reap)(node->aio);
		free(node);
		node = next;
	}
}
