// Operations whose result is not waited for in the call: it goes to a queue, or nngio_wait fetches it.

#include "internal.h"

// From idle or done to claimed; false when the operation is pending already.
static bool
claim(nngio_op *op)
{
	unsigned s = atomic_load(&op->state);
	if (s != OP_IDLE && s != OP_DONE) {
		return (false);
	}
	if (!atomic_compare_exchange_strong(&op->state, &s, OP_CLAIMED)) {
		return (false);
	}
	if (op->queue != NULL) {
		queue_hold(op->queue); // given back by queue_push
	}
	return (true);
}

// Names the queue that the operation's results go to (NULL: none), and what Python knows it by.
int
nngio_op_attach(nngio_op *op, nngio_queue *queue, uint64_t tag)
{
	if (nngio_op_busy(op)) {
		return (NNGIO_BUSY);
	}
	if (queue != NULL) {
		queue_hold(queue);
	}
	if (op->queue != NULL) {
		queue_rele(op->queue);
	}
	op->queue = queue;
	op->tag   = tag;
	return (0);
}

// Sends the box's message, nng_ctx_send or nng_send_aio.  The box is empty while it is pending.
int
nngio_submit_send(nngio_op *op, nngio_handle *h, nngio_box *box, int ms)
{
	nng_msg *msg;
	nng_aio *aio;
	int      rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!claim(op)) {
		return (NNGIO_BUSY);
	}
	rv = handle_enter(h);
	op_begin(op, h, NNGIO_SEND); // only a receive needs memory for it
	if (rv != 0) {
		op_complete(op, rv); // the message has not left its box
		return (0);
	}
	if ((msg = box_take(box)) == NULL) {
		op_complete(op, NNG_ESTATE);
		handle_leave(h);
		return (0);
	}
	box_hold(box);
	op->box        = box;
	op_set_header(op, h, msg);
	if ((rv = op_send_allowed(op, h, msg)) != 0 || (rv = message_make_room(h, &msg)) != 0) {
		op_sent(op, msg);
		op_complete(op, rv);
	} else if ((h->flags & NNGIO_TRY_SEND) != 0 && (aio = op_inline_aio(op)) != NULL &&
	    ((rv = op_try_send(op, aio, &msg)) != NNG_ETIMEDOUT || ms == 0)) {
		op_sent(op, msg);
		op_complete(op, rv);
	} else {
		atomic_store(&op->state, OP_PENDING);
		op_send(op, ms, msg);
	}
	handle_leave(h);
	return (0);
}

// Receives, nng_ctx_recv or nng_recv_aio; nngio_op_take fetches the message.  NNGIO_LOOK is possible.
int
nngio_submit_recv(nngio_op *op, nngio_handle *h, int ms)
{
	int rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!nngio_op_busy(op) && op_has_to_look(op, h)) {
		return (NNGIO_LOOK);
	}
	if (!claim(op)) {
		return (NNGIO_BUSY);
	}
	if ((rv = handle_enter(h)) != 0) {
		op_begin(op, h, NNGIO_RECV);
		op_complete(op, rv);
		return (0);
	}
	handle_settle(h);
	if ((rv = op_begin(op, h, NNGIO_RECV)) != 0) {
		op_complete(op, rv);
	} else if (handle_unpark(h, op)) {
		reader_go_on(h);
		op_complete(op, 0);
	} else {
		atomic_store(&op->state, OP_PENDING);
		if (left_follow(op, h, ms)) {
			handle_leave(h);
			return (0);
		}
		if ((h->flags & NNGIO_SEND_RESTARTS) != 0 && handle_unpark(h, op)) { // see nngio_begin_recv
			op_complete(op, 0);
		} else if ((rv = op_receive(op, ms)) != 0) {
			op_complete(op, rv);
		}
	}
	handle_leave(h);
	return (0);
}

// Finishes after `sleep_ms`, or with NNG_ETIMEDOUT after a shorter `ms`: nng_sleep_aio.  An aio that has
// slept to the end once would report every later timeout as a success, in all releases of NNG.  So NNG
// is always told of a timeout that is shorter than the sleep, and op_callback puts the result right.
int
nngio_submit_sleep(nngio_op *op, int sleep_ms, int ms)
{
	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!claim(op)) {
		return (NNGIO_BUSY);
	}
	op->kind    = NNGIO_SLEEP;
	op->result  = 0;
	op->aborted = 0;
	op->slept   = 0;
	if (ms >= 0 && ms < sleep_ms) {
		op->slept = NNG_ETIMEDOUT;
		sleep_ms  = ms;
	} else if (sleep_ms == INT32_MAX) {
		sleep_ms--;
	}
	atomic_store(&op->state, OP_PENDING);
	nng_aio_set_timeout(op->aio, sleep_ms);
	nng_sleep_aio(sleep_ms + 1, op->aio);
	return (0);
}

// Asks NNG to end a pending operation with `code`.  Nothing happens when it has finished, or when the
// protocol would lose the message.  The owner calls this, so the operation can't be another by now;
// a receive is aborted under the handle's lock, because its callback may submit it again.  The first
// abort decides: 1.12 would let a later one change the result of an operation that has ended.
int
nngio_op_abort(nngio_op *op, int code)
{
	nngio_handle *h;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!nngio_op_busy(op)) {
		return (0);
	}
	switch (op->kind) {
	case NNGIO_SEND:
		if ((op->handle->flags & NNGIO_KEEP_SEND) != 0) {
			break;
		}
		// fall through
	case NNGIO_RECV:
		h = op->handle;
		pthread_mutex_lock(&h->lock);
		if (op->aborted == 0) {
			op->aborted = code;
		}
		if (atomic_load(&op->listed) == h) {
			if (op->waits) {
				reader_abort(op, op->aborted);
			} else if (handle_try_enter(h)) {
				nng_aio_abort(op->inlined ? op->inline_aio : op->aio, op->aborted);
				handle_leave(h);
			}
		}
		pthread_mutex_unlock(&h->lock);
		break;
	case NNGIO_STREAM:
		stream_abort(op, code);
		break;
	case NNGIO_CLOSE:
		break;
	case NNGIO_DIAL:
		dial_abort(op, code);
		break;
	case NNGIO_WATCH:
		pipes_abort(op, code);
		break;
	case NNGIO_JOIN:
		join_abort(op, code);
		break;
	case NNGIO_HTTP:
		http_abort(op, code);
		break;
	default: // a sleep, whose timeout means something else
		if (op->aborted == 0) {
			op->aborted = code;
			nng_aio_abort(op->aio, code == NNG_ETIMEDOUT ? NNGIO_SLEEP_ABORTED : code);
		}
		break;
	}
	return (0);
}

// Cancels an operation whose owner is certain to abandon it, and has not come to that yet: a message that it
// was given, or is given now, is for the next receive at once, so that none which begins in between overtakes it.
// A connection of HTTP's counts as closed.
void
nngio_op_give_up(nngio_op *op)
{
	if (nngio_forked()) {
		return;
	}
	if (op->kind == NNGIO_RECV) {
		int custody = CUSTODY_NNG;

		atomic_fetch_add(&op->handle->giving_up, 1);
		if (!atomic_compare_exchange_strong(&op->custody, &custody, CUSTODY_GIVEN_UP)) {
			atomic_fetch_sub(&op->handle->giving_up, 1);
			if (custody == CUSTODY_OWNER) {
				op_park(op); // of its callback there is nothing left but the push on the queue
			}
			return;
		}
	}
	if (op->kind == NNGIO_HTTP) {
		http_give_up(op);
		return;
	}
	nngio_op_abort(op, NNG_ECANCELED);
	if (op->kind == NNGIO_STREAM) {
		stream_put_back(op);
	}
}

// Marks an operation that was drained from its queue as done, once its callback in Python has run:
// threads in nngio_wait go on.
void
nngio_op_settle(nngio_op *op)
{
	op_off_loop(op);
	if (atomic_exchange(&op->state, OP_DONE) == OP_WAITED) {
		word_wake(&op->state);
	}
}
