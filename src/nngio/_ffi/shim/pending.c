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

// Under the lock.
void
pending_link(nngio_op *op)
{
	nngio_handle *h = op->handle;

	op->pending_next = NULL;
	op->pending_prev = h->pending_last;
	*(h->pending_last != NULL ? &h->pending_last->pending_next : &h->pending_first) = op;
	h->pending_last                                                                  = op;
	atomic_store(&op->listed, h);
}

// Under the lock.
void
pending_unlink(nngio_op *op)
{
	nngio_handle *h = op->handle;

	*(op->pending_next != NULL ? &op->pending_next->pending_prev : &h->pending_last)  = op->pending_prev;
	*(op->pending_prev != NULL ? &op->pending_prev->pending_next : &h->pending_first) = op->pending_next;
	atomic_store(&op->listed, NULL);
}

void
pending_add(nngio_op *op)
{
	pthread_mutex_lock(&op->handle->lock);
	pending_link(op);
	pthread_mutex_unlock(&op->handle->lock);
}

// If the operation's time was up, makes sure that `*aio`, which is one of the operation's two, is not used
// again: returns what retire() needs for that, and NULL otherwise.
static retired *
retire_prepare(nngio_op *op, nng_aio **aio, nng_aio **fresh)
{
	retired *node;

	*fresh = NULL;
	if (((op->handle->flags & NNGIO_SURVEYS) == 0 || op->kind != NNGIO_RECV) && time_left(op) != 0) {
		return (NULL);
	}
	if (op->ms == 0) {
		return (NULL); // NNG does not hand those to its timer
	}
	if ((node = malloc(sizeof(*node))) == NULL ||
	    (aio == &op->aio && nng_aio_alloc(fresh, op_callback, op) != 0)) {
		free(node); // the risk is smaller than an operation without an aio
		return (NULL);
	}
	return (node);
}

// Under the lock.  Returns the oldest, when there are too many.
static retired *
retire(nngio_handle *h, retired *node, nng_aio **aio, nng_aio *fresh)
{
	retired *old = NULL;

	node->aio  = *aio;
	node->next = NULL;
	*aio       = fresh;
	*(h->retired_last != NULL ? &h->retired_last->next : &h->retired_first) = node;
	h->retired_last                                                         = node;
	if (++h->retired_count > RETIRED_MAX) {
		old              = h->retired_first;
		h->retired_first = old->next;
		h->retired_count--;
	}
	return (old);
}

// Frees an aio on a thread that is for this: where this runs may be its own callback, which freeing waits for.
static void
retired_reap(retired *node)
{
	if (node != NULL) {
		nng_aio_reap(node->aio);
		free(node);
	}
}

// Takes an operation that was on `*aio` off the list, when NNG has finished it, and retires that aio if need
// be; `delivered` is the message of a receive, which may become another, or NULL.  Both at once: close frees
// the retired aios when the list is empty.  Returns whether a receive was aborted for the sake of a parked message, and in `aborted` the
// code that its owner has asked for, or 0.
bool
pending_remove(nngio_op *op, nng_aio **aio, nng_msg **delivered, int *aborted)
{
	nngio_handle *h = op->handle;
	nng_aio      *fresh;
	retired      *late = retire_prepare(op, aio, &fresh), *old = NULL;
	bool          redeliver;

	pthread_mutex_lock(&h->lock);
	pending_unlink(op);
	if (h->follower == op) {
		op->leader  = h->left;
		h->follower = NULL;
	}
	if (late != NULL) {
		old = retire(h, late, aio, fresh);
	}
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
	retired_reap(old);
	return (redeliver);
}

// The same for an operation that was not on the list.
void
retire_if_late(nngio_op *op, nng_aio **aio)
{
	nngio_handle *h = op->handle;
	nng_aio      *fresh;
	retired      *late = retire_prepare(op, aio, &fresh), *old;

	if (late != NULL) {
		pthread_mutex_lock(&h->lock);
		old = retire(h, late, aio, fresh);
		pthread_mutex_unlock(&h->lock);
		retired_reap(old);
	}
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
		for (nngio_op *next, *op = h->pending_first; op != NULL; op = next) {
			next = op->pending_next;
			if (op->aborted == 0) {
				op->aborted = NNG_ECLOSED;
			}
			if (op->waits) {
				reader_abort(op, NNG_ECLOSED);
			} else {
				nng_aio_abort(op->inlined ? op->inline_aio : op->aio, NNG_ECLOSED);
			}
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

static retired *
retired_take(nngio_handle *h)
{
	retired *first;

	pthread_mutex_lock(&h->lock);
	first            = h->retired_first;
	h->retired_first = h->retired_last = NULL;
	h->retired_count                   = 0;
	pthread_mutex_unlock(&h->lock);
	return (first);
}

// Waits until the timer thread has let go of them, which takes no longer than it needs to run.  Not for a
// thread of NNG's.
void
retired_free(nngio_handle *h)
{
	for (retired *next, *node = retired_take(h); node != NULL; node = next) {
		next = node->next;
		nng_aio_free(node->aio);
		free(node);
	}
}

// The same for any thread, which does not wait.
void
retired_leave(nngio_handle *h)
{
	for (retired *next, *node = retired_take(h); node != NULL; node = next) {
		next = node->next;
		retired_reap(node);
	}
}
