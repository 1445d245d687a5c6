// Receives that a signal has interrupted, where cancelling one would end more than the receive.
//
// NNG takes the cancel of a REQ's receive for the end of its request, and that of a SURVEYOR's for the end
// of its survey.  So a synchronous receive that Ctrl-C interrupts there is not cancelled: it is "left" with
// NNG, one for each handle, and what it brings is parked.  The next receive waits behind it: on a sleep, with
// its own timeout, which ends when the one that was left does.  If it is the next receive that ends first, by
// its timeout or a cancel, it takes the one that was left with it, as if NNG had had it all the time.
//
// `left` and `follower` change under the handle's lock.

#include "internal.h"

// Ends a synchronous receive whose caller was interrupted; else as nngio_abandon.
void
nngio_leave(nngio_op *op, nngio_box *box)
{
	nngio_handle *h;
	bool          is_left = false;

	if (nngio_forked()) {
		return;
	}
	if (op->kind == NNGIO_RECV && (h = op->handle) != NULL && (h->flags & NNGIO_SEND_RESTARTS) != 0) {
		pthread_mutex_lock(&h->lock);
		if (h->follower == op) {
			h->follower = NULL; // it doesn't take the other with it
		} else if (atomic_load(&op->listed) == h && op->aborted == 0 && h->left == NULL) {
			h->left = op;
			op->left = is_left = true;
		}
		pthread_mutex_unlock(&h->lock);
	}
	if (!is_left) {
		nngio_abandon(op, box);
	}
}

// The sleep of a receive that NNG does not have, 24 days for one that waits for ever.  See nngio_submit_sleep.
void
op_sleep(nngio_op *op)
{
	int ms = op->ms < 0 ? INT32_MAX - 1 : op->ms;

	nng_aio_set_msg(op->aio, NULL);
	nng_aio_set_timeout(op->aio, ms);
	nng_sleep_aio(ms + 1, op->aio);
}

// Lets the receive `op` wait behind one that was left.  False if none was, or another waits there already.
bool
left_follow(nngio_op *op, nngio_handle *h, int ms)
{
	bool follows;

	if (atomic_load(&h->left) == NULL) {
		return (false);
	}
	ms = explicit_ms(op, ms);
	pthread_mutex_lock(&h->lock);
	if ((follows = h->left != NULL && h->follower == NULL)) {
		h->follower = op;
		op->ms      = ms;
		op->begun   = nng_clock();
		atomic_store(&op->custody, CUSTODY_NNG);
		pending_link(op);
		op_sleep(op);
		wake_receiver(h); // what was left may be just parking its message
	}
	pthread_mutex_unlock(&h->lock);
	return (follows);
}

// A follower has ended with `result`, and nothing was there for it: its leader, if it has one still, ends too.
void
left_give_up(nngio_handle *h, nngio_op *leader, int result)
{
	if (leader == NULL) {
		return;
	}
	pthread_mutex_lock(&h->lock);
	if (h->left == leader && leader->aborted == 0 && atomic_load(&leader->listed) == h && handle_try_enter(h)) {
		leader->aborted = result;
		nng_aio_abort(leader->aio, result);
		handle_leave(h);
	}
	pthread_mutex_unlock(&h->lock);
}

// Nobody waits for the one that was left any more; who did, ends with `result`.  Under the lock.
void
left_forget(nngio_handle *h, int result)
{
	nngio_op *follower = h->follower;

	h->left     = NULL;
	h->follower = NULL;
	if (follower != NULL && follower->aborted == 0 && handle_try_enter(h)) {
		follower->aborted = result;
		nng_aio_abort(follower->aio, result);
		handle_leave(h);
	}
}

// The one that was left has ended: its message, if it had one, is parked.  Called by its callback.
void
left_ends(nngio_op *op, int result)
{
	nngio_handle *h = op->handle;

	pthread_mutex_lock(&h->lock);
	if (h->left == op) {
		if (result == 0) {
			h->left = NULL;
			wake_receiver(h);
		} else {
			left_forget(h, result);
		}
	}
	pthread_mutex_unlock(&h->lock);
}
