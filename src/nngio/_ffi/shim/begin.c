// Beginning an operation: first an attempt that can't block, on an aio without a callback, which
// finishes on this thread; only when that finds nothing is the operation handed to NNG.  Not so where a
// failed attempt would cost the protocol's state: see the flags.

#include <string.h>

#include "internal.h"
#include "nngio_features.h"

// Whether one of the first numbers that are sent, four bytes each, is that of a request: its highest bit is set.  They may be in
// the body as well: the peer sees no difference.
static bool
is_numbered(nng_msg *msg)
{
	const uint8_t *parts[] = { nng_msg_header(msg), nng_msg_body(msg) };
	size_t         lengths[] = { nng_msg_header_len(msg), nng_msg_len(msg) };

	for (int part = 0, hops = 0; part < 2; part++) {
		for (size_t at = 0; at + 4 <= lengths[part] && hops < 16; at += 4, hops++) {
			if ((parts[part][at] & 0x80) != 0) {
				return (true);
			}
		}
		if (lengths[part] % 4 != 0) {
			return (false);
		}
	}
	return (false);
}

// Sends that the protocol would refuse, or should, or that begin something new, before NNG looks at them.  The header is noted.
int
op_send_allowed(nngio_op *op, nngio_handle *h, nng_msg *msg)
{
	unsigned none = 0;

	if (((h->flags & NNGIO_NUMBERED) != 0 && !is_numbered(msg)) ||
	    ((h->flags & NNGIO_ADDRESSED) != 0 && op->header_len < 4)) {
		return (NNG_EPROTO); // the peer would take it for garbage and disconnect, or NNG drop it
	}
	if ((h->flags & NNGIO_SEND_RESTARTS) != 0) {
		handle_restarts(h);
	}
	if ((h->flags & NNGIO_SEND_NEEDS_ONE) != 0) {
		if (atomic_load(&h->parked_count) != 0) {
			return (NNG_ESTATE); // the caller has not seen yet what it would answer
		}
		// NNG ends the process when a second reply has to wait for its pipe behind the first.
		if (!atomic_compare_exchange_strong(&h->sending, &none, 1)) {
			return (NNG_ESTATE);
		}
		op->counted = true;
	}
	return (0);
}

bool
inline_done(nngio_op *op)
{
#ifdef NNGIO_HAVE_nng_aio_busy
	return (!nng_aio_busy(op->inline_aio));
#else
	// The protocols for which this is done leave the message in the aio for as long as the send is pending.
	return (nng_aio_get_msg(op->inline_aio) == NULL || nng_aio_result(op->inline_aio) != 0);
#endif
}

// The outcome of an inline aio that NNG has finished, or is just finishing on another thread.  What is
// left of a send's message goes to `left`.
int
inline_result(nngio_op *op, nng_aio *aio, nng_msg **left)
{
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

// NULL when there is no memory: then the operation's other aio has to do.
nng_aio *
op_inline_aio(nngio_op *op)
{
	if (op->inline_aio == NULL && nng_aio_alloc(&op->inline_aio, NULL, NULL) != 0) {
		return (NULL);
	}
	return (op->inline_aio);
}

// The aio for attempts: the queue's, which only its own thread uses, or one of the operation's.
nng_aio *
aio_to_try(nngio_op *op)
{
	return (op->queue != NULL ? queue_inline_aio(op->queue) : op_inline_aio(op));
}

// Sends if that can be done at once; NNG_ETIMEDOUT if not, and `msg` is what is left.
int
op_try_send(nngio_op *op, nng_aio *aio, nng_msg **msg)
{
	op_start(op, aio, 0, *msg);
	return (inline_result(op, aio, msg));
}

// Receives what is there at once; NNG_ETIMEDOUT if nothing is.
int
op_try_recv(nngio_op *op, nngio_handle *h, nng_aio *aio)
{
	int rv;

	op_start(op, aio, 0, NULL);
	rv = inline_result(op, aio, NULL);
	if (rv == 0 && ((h->flags & NNGIO_SEND_NEEDS_ONE) != 0 || atomic_load(&h->parked_count) != 0)) {
		pthread_mutex_lock(&h->lock);
		op_keep(op, handle_delivered(h, op, op->msg));
		pthread_mutex_unlock(&h->lock);
	}
	return (rv);
}

// From here on the callback may take the operation at any moment.
void
op_pending(nngio_op *op)
{
	if (op->queue != NULL) {
		queue_hold(op->queue); // given back by queue_push
	}
	atomic_store(&op->state, OP_PENDING);
}

// It has not begun after all.
static void
op_withdraw(nngio_op *op)
{
	if (op->queue != NULL) {
		queue_rele(op->queue);
	}
	atomic_store(&op->state, OP_IDLE);
}

static int
begin_send(nngio_op *op, nngio_handle *h, nng_msg *msg, int ms)
{
	nng_aio *aio = NULL;
	int      rv;

	op_set_header(op, h, msg);
	if ((rv = op_send_allowed(op, h, msg)) != 0 || (rv = message_make_room(h, &msg)) != 0) {
		op_sent(op, msg);
		return (rv);
	}
	if ((h->flags & NNGIO_TRY_SEND) != 0) {
		if ((aio = aio_to_try(op)) != NULL &&
		    ((rv = op_try_send(op, aio, &msg)) != NNG_ETIMEDOUT || ms == 0)) {
			op_sent(op, msg);
			return (rv);
		}
	} else if ((h->flags & NNGIO_INLINE_SEND) != 0) {
		ms = ms == 0 ? 1 : ms; // RESPONDENT asks for time before it looks whether it needs any
		if (op_inline_aio(op) != NULL) {
			op->inlined = true;
			op_pending(op);
			op_start(op, op->inline_aio, ms, msg);
			if (inline_done(op)) {
				return (inline_finish(op));
			}
			pending_add(op);
			if (op->queue != NULL && !patience_add(op)) {
				nng_aio_abort(op->inline_aio, NNG_ENOMEM);
				return (inline_finish(op));
			}
			return (NNGIO_PENDING);
		}
	}
	op_pending(op);
	op_send(op, ms, msg);
	return (NNGIO_PENDING);
}

// The answer to a call that never began: what the operation still holds of the call before is not this
// one's.  A forked child frees nothing.
static int
refused(nngio_op *op, int rv)
{
	if (rv == NNGIO_FORKED) {
		op->msg = NULL;
	}
	nngio_op_drop(op);
	op->looked = false;
	return (rv);
}

static nng_msg *
copy_of(const void *data, size_t len)
{
	nng_msg *msg;

	if (nng_msg_alloc(&msg, len) != 0) {
		return (NULL);
	}
	if (len != 0) {
		memcpy(nng_msg_body(msg), data, len);
	}
	return (msg);
}

// Sends a copy of `len` bytes.  On failure the operation keeps the message: nngio_op_take fetches it.
// `ms`: -1 for ever, 0 now or never, NNG_DURATION_DEFAULT the handle's own.
int
nngio_begin_send(nngio_op *op, nngio_handle *h, const void *data, size_t len, int ms)
{
	nng_msg *msg;
	int      rv;

	if ((rv = handle_enter(h)) != 0) {
		refused(op, rv);
		if (rv != NNGIO_FORKED && (msg = copy_of(data, len)) != NULL) {
			op_keep(op, msg);
		}
		return (rv);
	}
	if ((rv = op_begin(op, h, NNGIO_SEND)) == 0) {
		msg = copy_of(data, len);
		rv  = msg != NULL ? begin_send(op, h, msg, ms) : NNG_ENOMEM;
	}
	handle_leave(h);
	return (rv);
}

// Sends the box's message.  On success the box is empty; on failure the message is back in it.
int
nngio_begin_send_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms)
{
	int rv;

	if ((rv = handle_enter(h)) != 0) {
		return (refused(op, rv));
	}
	if ((rv = op_begin(op, h, NNGIO_SEND)) == 0) {
		nng_msg *msg = box_take(box);
		if (msg != NULL) {
			op->box = box;
			box_hold(box);
			rv = begin_send(op, h, msg, ms);
		} else {
			rv = NNG_ESTATE;
		}
	}
	handle_leave(h);
	return (rv);
}

// Receives a message into the operation: `body` and `len` tell what it holds, nngio_op_take fetches it.
// NNGIO_LOOK is possible: see op_has_to_look.
int
nngio_begin_recv(nngio_op *op, nngio_handle *h, int ms)
{
	nng_aio *aio;
	int      rv;

	if ((rv = handle_enter(h)) != 0) {
		return (refused(op, rv));
	}
	if (op_has_to_look(op, h)) {
		handle_leave(h);
		return (NNGIO_LOOK);
	}
	if ((rv = op_begin(op, h, NNGIO_RECV)) != 0) {
		handle_leave(h);
		return (rv);
	}
	handle_settle(h);
	if (handle_unpark(h, op)) {
		reader_go_on(h);
		handle_leave(h);
		return (0);
	}
	if ((h->flags & NNGIO_SEND_RESTARTS) != 0) {
		if (atomic_load(&h->left) != NULL) {
			if (ms == 0) {
				handle_leave(h);
				return (NNG_ETIMEDOUT);
			}
			op_pending(op);
			if (left_follow(op, h, ms)) {
				if (op->queue != NULL) {
					op_on_loop(op);
				}
				handle_leave(h);
				return (NNGIO_PENDING);
			}
			op_withdraw(op);
		}
		// One that was left parks its message before it is gone: it may have done both since the look above.
		if (handle_unpark(h, op)) {
			handle_leave(h);
			return (0);
		}
	}
	if (h->reader != NULL) {
		if (ms == 0) {
			handle_leave(h);
			return (NNG_ETIMEDOUT);
		}
	} else if ((h->flags & NNGIO_TRY_RECV) != 0 && (aio = aio_to_try(op)) != NULL) {
		if ((rv = op_try_recv(op, h, aio)) != NNG_ETIMEDOUT || ms == 0) {
			handle_leave(h);
			return (rv);
		}
	}
#ifdef NNGIO_HAVE_nng_aio_set_expire
	if (ms == 0) {
		ms = 1; // since it has this function, NNG takes 0 for "until the survey ends"
	}
#endif
	op_pending(op);
	if ((rv = op_receive(op, ms)) != 0) {
		op_withdraw(op);
		handle_leave(h);
		return (rv);
	}
	if (op->queue != NULL) {
		op_on_loop(op);
	}
	handle_leave(h);
	return (NNGIO_PENDING);
}
