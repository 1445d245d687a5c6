// Synchronous calls: submit, and sleep until the result is there or a signal comes.
//
// First an attempt that can't block, on an aio without a callback, which finishes on this thread; only
// when that finds nothing is the operation handed to NNG to wait.  Not so where a failed attempt would
// cost the protocol's state: see the flags.

#include <string.h>
#include <time.h>

#include "internal.h"
#include "nngio_features.h"

// Sends that the protocol will refuse or that begin something new, looked at before NNG is.
int
op_send_allowed(nngio_handle *h)
{
	if (atomic_load(&h->parked_count) != 0) {
		if ((h->flags & NNGIO_SEND_NEEDS_ONE) != 0) {
			return (NNG_ESTATE); // the caller has not seen yet what it would answer
		}
		if ((h->flags & NNGIO_SEND_RESTARTS) != 0) {
			handle_unpark_all(h);
		}
	}
	return (0);
}

static bool
inline_done(nngio_op *op)
{
#ifdef NNGIO_HAVE_nng_aio_busy
	return (!nng_aio_busy(op->inline_aio));
#else
	// REP and RESPONDENT leave the message in the aio for as long as the send is pending.
	return (nng_aio_get_msg(op->inline_aio) == NULL || nng_aio_result(op->inline_aio) != 0);
#endif
}

// The outcome of an inline aio that NNG has finished, or is just finishing on another thread.  What is
// left of a send's message goes to `left`.
static int
inline_result(nngio_op *op, nng_msg **left)
{
	nng_aio *aio = op->inline_aio;
	nng_msg *msg;
	int      rv;

	nng_aio_wait(aio);
	rv  = nng_aio_result(aio);
	msg = nng_aio_get_msg(aio);
	nng_aio_set_msg(aio, NULL);
	if (op->kind == NNGIO_SEND) {
		rv    = send_outcome(op, rv, &msg);
		*left = msg;
	} else if (msg != NULL) {
		op_keep(op, msg);
		rv = 0;
	}
	return (rv);
}

static int
inline_finish(nngio_op *op)
{
	nng_msg *left;

	op->result  = inline_result(op, &left);
	op->inlined = false;
	op_sent(op, left);
	atomic_store(&op->state, OP_IDLE);
	return (op->result);
}

// Waits for an inline send that NNG has put off: a reply whose pipe is busy with another.  On the main
// thread, where a signal must end the wait, by looking again, since NNG tells nobody when it is done.
static int
inline_wait(nngio_op *op)
{
	struct timespec nap   = { .tv_nsec = 50000 };
	nng_time        until = nng_clock() + (nng_time) (op->slice_ms > 0 ? op->slice_ms : 0);

	while (op->slice_ms >= 0 && !inline_done(op)) {
		if (nng_clock() >= until || nanosleep(&nap, NULL) != 0) {
			return (NNGIO_AGAIN);
		}
		if (nap.tv_nsec < 2000000) {
			nap.tv_nsec *= 2;
		}
	}
	return (inline_finish(op));
}

// Returns the result, or NNGIO_AGAIN when a signal came or the operation's slice of time is over: the
// caller lets Python run its signal handlers, and calls again.
int
nngio_wait(nngio_op *op)
{
	if (op->inlined) {
		return (inline_wait(op));
	}
	for (;;) {
		unsigned s = OP_PENDING;
		if (atomic_compare_exchange_strong(&op->state, &s, OP_WAITED)) {
			s = OP_WAITED;
		}
		if (s != OP_WAITED) {
			stay_if_exiting();
			return (op->result);
		}
		if (!word_wait(&op->state, OP_WAITED, op->slice_ms)) {
			stay_if_exiting();
			return (NNGIO_AGAIN);
		}
	}
}

static int
send_message(nngio_op *op, nngio_handle *h, nng_msg *msg, int ms)
{
	int rv;

	op->header_len = nng_msg_header_len(msg);
	if (op->header_len != 0) {
		memcpy(op->header, nng_msg_header(msg), op->header_len);
	}
	if ((rv = op_send_allowed(h)) != 0) {
		op_sent(op, msg);
		return (rv);
	}
	if ((h->flags & NNGIO_TRY_SEND) != 0) {
		op_start(op, op->inline_aio, 0, msg);
		if ((rv = inline_result(op, &msg)) != NNG_ETIMEDOUT || ms == 0) {
			op_sent(op, msg);
			return (rv);
		}
	} else if ((h->flags & NNGIO_INLINE_SEND) != 0) {
		ms = ms == 0 ? 1 : ms; // RESPONDENT asks for time before it looks whether it needs any
		atomic_store(&op->state, OP_PENDING);
		op->inlined = true;
		op_start(op, op->inline_aio, ms, msg);
		if (inline_done(op)) {
			return (inline_wait(op));
		}
		return (NNGIO_BUSY);
	}
	atomic_store(&op->state, OP_PENDING);
	op_start(op, op->aio, ms, msg);
	return (NNGIO_BUSY);
}

// Sends a copy of `len` bytes.  On failure the operation keeps the message: nngio_op_take fetches it.
// `ms`: -1 for ever, 0 now or never, NNG_DURATION_DEFAULT the handle's own.
int
nngio_send(nngio_op *op, nngio_handle *h, const void *data, size_t len, int ms)
{
	nng_msg *msg;
	int      rv;

	if ((rv = handle_enter(h)) != 0) {
		return (rv);
	}
	if ((rv = op_begin(op, h, NNGIO_SEND)) == 0 && (rv = nng_msg_alloc(&msg, len)) == 0) {
		if (len != 0) {
			memcpy(nng_msg_body(msg), data, len);
		}
		rv = send_message(op, h, msg, ms);
	}
	handle_leave(h);
	return (rv == NNGIO_BUSY ? nngio_wait(op) : rv);
}

// Sends the box's message.  On success the box is empty; on failure the message is back in it.
int
nngio_send_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms)
{
	int rv;

	if ((rv = handle_enter(h)) != 0) {
		return (rv);
	}
	if ((rv = op_begin(op, h, NNGIO_SEND)) == 0) {
		nng_msg *msg = box->msg;
		box->msg     = NULL;
		op->box      = box;
		box_hold(box);
		rv = send_message(op, h, msg, ms);
	}
	handle_leave(h);
	return (rv == NNGIO_BUSY ? nngio_wait(op) : rv);
}

// Receives a message into the operation: `body` and `len` tell what it holds, nngio_op_take fetches it.
int
nngio_recv(nngio_op *op, nngio_handle *h, int ms)
{
	nng_msg *msg;
	int      rv;

	if ((rv = handle_enter(h)) != 0) {
		return (rv);
	}
	if ((rv = op_begin(op, h, NNGIO_RECV)) != 0) {
		handle_leave(h);
		return (rv);
	}
	if (handle_unpark(h, &msg)) {
		op_keep(op, msg);
		handle_leave(h);
		return (0);
	}
	if ((h->flags & NNGIO_TRY_RECV) != 0) {
		op_start(op, op->inline_aio, 0, NULL);
		if ((rv = inline_result(op, NULL)) != NNG_ETIMEDOUT || ms == 0) {
			handle_leave(h);
			return (rv);
		}
	}
	atomic_store(&op->state, OP_PENDING);
	op_receive(op, ms);
	handle_leave(h);
	return (nngio_wait(op));
}

// Ends an operation whose caller was interrupted: afterwards it is idle, a message that it had
// received, or that had got as far as `box`, waits for the handle's next receive, and one that was not
// sent is in its box again, or dropped if it was a copy of bytes.
void
nngio_abandon(nngio_op *op, nngio_box *box)
{
	if (nngio_forked()) {
		return;
	}
	if (nngio_op_busy(op)) {
		nngio_op_abort(op, NNG_ECANCELED);
		if (op->inlined) {
			inline_finish(op);
		}
		while (nngio_op_busy(op)) {
			unsigned s = OP_PENDING;
			atomic_compare_exchange_strong(&op->state, &s, OP_WAITED);
			word_wait(&op->state, OP_WAITED, 20);
		}
	}
	if (op->kind == NNGIO_RECV) {
		nng_msg *msg = op->msg;
		op->msg      = NULL;
		if (msg == NULL && box != NULL) {
			msg      = box->msg;
			box->msg = NULL;
		}
		if (msg != NULL) {
			handle_park(op->handle, op, msg);
		}
	}
	nngio_op_drop(op);
	op->kind = NNGIO_NONE;
}
