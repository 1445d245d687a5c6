// Operations: from submission to result.
//
// Who owns the message.  A send takes it out of the box, or makes it from bytes; NNG has it until the
// callback.  There the message pointer decides, not the code (some versions report a cancel for a send
// that was consumed, and for a receive that was given a message): an aio without a message has sent
// it, one with a message has received it.  A message that was not sent goes back into its box with the
// header it had, or stays with the operation.
//
// Who may touch an operation.  Its owner, until it is submitted; then the callback; then, from the
// store of OP_DONE or the push on the queue, its owner again.  Operations are never freed, only
// pooled: a callback that has handed one over may still be returning through it.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static nngio_op       *pool;

nngio_op *
nngio_op_new(int slice_ms)
{
	nngio_op *op;

	if (nngio_init() != 0) {
		return (NULL);
	}
	pthread_mutex_lock(&pool_lock);
	if ((op = pool) != NULL) {
		pool = op->next;
	}
	pthread_mutex_unlock(&pool_lock);
	if (op == NULL) {
		if ((op = calloc(1, sizeof(*op))) == NULL) {
			return (NULL);
		}
		if (nng_aio_alloc(&op->aio, op_callback, op) != 0) {
			free(op);
			return (NULL);
		}
	}
	op->slice_ms = slice_ms;
	op->next     = NULL;
	return (op);
}

// Returns an idle operation to the pool, with all that it holds let go.
void
op_recycle(nngio_op *op)
{
	nngio_op_drop(op);
	nngio_udp_forget(op);
	if (op->box != NULL) {
		box_rele(op->box);
		op->box = NULL;
	}
	if (op->handle != NULL) {
		handle_rele(op->handle);
		op->handle = NULL;
	}
	join_forget(op);
	if (op->stream != NULL) {
		stream_rele(op->stream);
		op->stream = NULL;
	}
	if (op->http != NULL) {
		http_rele(op->http);
		op->http = NULL;
	}
	if (op->queue != NULL) {
		queue_rele(op->queue);
		op->queue = NULL;
	}
	op->kind    = NNGIO_NONE;
	op->dropped = false;
	op->looked  = false;
	op->left    = false;
	atomic_store(&op->state, OP_IDLE);
	pthread_mutex_lock(&pool_lock);
	op->next = pool;
	pool     = op;
	pthread_mutex_unlock(&pool_lock);
}

// Drops the message that the operation holds, if any.
void
nngio_op_drop(nngio_op *op)
{
	if (op->msg != NULL) {
		nng_msg_free(op->msg);
		op->msg = NULL;
	}
	op->body = NULL;
	op->len  = 0;
	if (op->batch_first != NULL) {
		batch_drop(op);
	}
	if (op->piece != NULL) {
		stream_drop(op);
	}
	if (op->task != NULL) {
		http_drop(op);
	}
}

// Hands the operation's message to a box; the box's own is dropped.
void
nngio_op_take(nngio_op *op, nngio_box *box)
{
	if (op->msg != NULL) {
		if (box->msg != NULL) {
			nng_msg_free(box->msg);
		}
		box->msg = op->msg;
		op->msg  = NULL;
		op->body = NULL;
		op->len  = 0;
	}
}

void
op_keep(nngio_op *op, nng_msg *msg)
{
	op->msg  = msg;
	op->body = nng_msg_body(msg);
	op->len  = nng_msg_len(msg);
}

// What a protocol without a header of its own would send in front of the body: a header that the message
// was received with elsewhere.  It is noted, for the message to be given back with it.
void
op_set_header(nngio_op *op, nngio_handle *h, nng_msg *msg)
{
	op->header_len = nng_msg_header_len(msg);
	if (op->header_len != 0) {
		memcpy(op->header, nng_msg_header(msg), op->header_len);
		if ((h->flags & NNGIO_RAW) == 0) {
			nng_msg_header_clear(msg);
		}
	}
}

// The end of a send: `msg` is what came back of it, or NULL.  The protocol may have cleared or replaced
// the message's header.
void
op_sent(nngio_op *op, nng_msg *msg)
{
	if (msg != NULL) {
		nng_msg_header_clear(msg);
		nng_msg_header_append(msg, op->header, op->header_len);
		if (op->box != NULL) {
			op->box->msg = msg;
		} else {
			op_keep(op, msg);
		}
	}
	if (op->box != NULL) {
		box_rele(op->box);
		op->box = NULL;
	}
	if (op->counted) {
		op->counted = false;
		atomic_fetch_sub(&op->handle->sending, 1);
	}
}

// Numbers a receive that is about to begin.
void
op_next_turn(nngio_op *op)
{
	op->turn = atomic_fetch_add(&op->handle->turn, 1) + 1;
}

// Makes an idle operation ready for `h`; what it held from before is let go.  NNG_ENOMEM is possible.
int
op_begin(nngio_op *op, nngio_handle *h, int kind)
{
	nngio_op_drop(op);
	join_forget(op);
	if (op->handle != h) {
		handle_hold(h);
		if (op->handle != NULL) {
			handle_rele(op->handle);
		}
		op->handle = h;
	}
	if (kind == NNGIO_RECV && op->spare == NULL) {
		if ((op->spare = malloc(sizeof(*op->spare))) == NULL) {
			return (NNG_ENOMEM);
		}
	}
	if (kind == NNGIO_RECV) {
		op_next_turn(op);
		op->place = op->turn;
	}
	op->kind      = kind;
	op->result    = 0;
	op->count     = 0;
	op->bytes     = 0;
	op->aborted   = 0;
	op->inlined   = false;
	op->redeliver = false;
	op->left      = false;
	op->waits     = false;
	op->sleeps    = false;
	op->leader    = NULL;
	atomic_store(&op->custody, CUSTODY_OWNER);
	op->dialer    = 0;
	op->listener  = 0;
	return (0);
}

// Makes an idle operation ready for what is of no handle.
void
op_ready(nngio_op *op, int kind, int ms)
{
	nngio_op_drop(op);
	join_forget(op);
	op->kind      = kind;
	op->result    = 0;
	op->count     = 0;
	op->bytes     = 0;
	op->aborted   = 0;
	op->inlined   = false;
	op->redeliver = false;
	op->left      = false;
	op->waits     = false;
	op->sleeps    = false;
	op->leader    = NULL;
	op->ms        = ms;
	op->begun     = ms > 0 ? nng_clock() : 0;
	op->pending_next = op->pending_prev = NULL;
	atomic_store(&op->custody, CUSTODY_OWNER);
}

// NNG's, if it has our patch for them: see nng_src/patches, work-at-once.
extern void nng_aio_set_prompt(nng_aio *, bool) __attribute__((weak));
extern void nng_call(void (*)(void *), void *, bool) __attribute__((weak));

// Whether NNG may call the callback of this aio on a thread that is about to sleep, or that has a loop to run:
// where it neither blocks nor takes long.
void
op_prompt(nng_aio *aio, bool prompt)
{
	if (nng_aio_set_prompt != NULL) {
		nng_aio_set_prompt(aio, prompt);
	}
}

typedef struct {
	nngio_op *op;
	nng_aio  *aio;
	int       ms;
	nng_msg  *msg;
	bool      gated;
} beginning;

static void
begin_now(void *arg)
{
	beginning    *b  = arg;
	nngio_op     *op = b->op;
	nngio_handle *h  = op->handle;
	uint32_t      id = h->id;

	op->ms = b->ms;
	if (b->ms > 0 || b->ms == NNG_DURATION_DEFAULT) {
		op->begun = nng_clock();
	}
	op_prompt(b->aio, true);
	nng_aio_set_timeout(b->aio, b->ms);
	nng_aio_set_msg(b->aio, b->msg);
	if ((h->flags & NNGIO_CTX) != 0) {
		nng_ctx c = { .id = id };
		(op->kind == NNGIO_SEND ? nng_ctx_send : nng_ctx_recv)(c, b->aio);
	} else {
		nng_socket s = { .id = id };
		(op->kind == NNGIO_SEND ? nng_send_aio : nng_recv_aio)(s, b->aio);
	}
	if (b->gated) {
		pthread_mutex_unlock(&h->gate);
	}
}

// Gives NNG the operation.  The caller is between handle_enter and handle_leave, without a lock but the handle's gate, of which
// it is let go: `gated`.
//
// What a loop's operation leads to at once, as a rule a message for another one of that loop, is done by the loop's own
// thread, after NNG's call has returned: no other has to be woken.  So it is for a send without a loop to which nobody
// answers, as the next one can be on its way then, and for a receive of what is read from a connection one by one, as
// a rule at once.  Where there are buffers between, or answers to wait for, it is better that another thread works
// beside the caller.
static void
start(nngio_op *op, nng_aio *aio, int ms, nng_msg *msg, bool gated)
{
	beginning      b     = { .op = op, .aio = aio, .ms = ms, .msg = msg, .gated = gated };
	const uint32_t flags = op->handle->flags;
	bool           sends = op->kind == NNGIO_SEND && (flags & (NNGIO_TRY_SEND | NNGIO_SEND_RESTARTS)) == NNGIO_TRY_SEND;
	bool           reads = op->kind == NNGIO_RECV && (flags & ~NNGIO_CTX) == NNGIO_TRY_RECV; // of PULL, and SUB

	if (nng_call != NULL && (op->queue != NULL || sends || reads)) {
		nng_call(begin_now, &b, reads);
	} else {
		begin_now(&b);
	}
}

void
op_start(nngio_op *op, nng_aio *aio, int ms, nng_msg *msg)
{
	start(op, aio, ms, msg, false);
}

// Begins a send that its callback finishes.  A REQ's receive that begins beside a send which waits for a
// peer leads NNG into a state from which there is no way back, and so does a REP's second reply.
void
op_send(nngio_op *op, int ms, nng_msg *msg)
{
	nngio_handle *h     = op->handle;
	bool          gated = (h->flags & (NNGIO_SEND_RESTARTS | NNGIO_SURVEYS)) == NNGIO_SEND_RESTARTS;

	ms = explicit_ms(op, ms);
	pending_add(op);
	if (gated) {
		pthread_mutex_lock(&h->gate);
		op->counted = true;
		atomic_fetch_add(&h->sending, 1);
	}
	start(op, op->aio, ms, msg, gated);
}

// Begins a receive.  A message that was parked before NNG had the operation is looked for once more when
// it has it.  NNG_ESTATE if it can't begin.
int
op_receive(nngio_op *op, int ms)
{
	nngio_handle *h     = op->handle;
	bool          gated = (h->flags & (NNGIO_SEND_RESTARTS | NNGIO_SURVEYS)) == NNGIO_SEND_RESTARTS;

	ms = explicit_ms(op, ms);
	if (h->reader != NULL) {
		reader_wait(op, ms);
		return (0);
	}
	if (gated) {
		pthread_mutex_lock(&h->gate);
		if (atomic_load(&h->sending) != 0) {
			pthread_mutex_unlock(&h->gate);
			return (NNG_ESTATE);
		}
	}
	atomic_store(&op->custody, CUSTODY_NNG);
	pending_add(op);
	start(op, op->aio, ms, NULL, gated);
	if (atomic_load(&h->parked_count) != 0) {
		pending_look_again(h, op);
	}
	return (0);
}

// The last act on an operation by whoever finished it.
void
op_complete(nngio_op *op, int result)
{
	op->result = result;
	if (op->path != NULL) {
		path_continues(op);
		return;
	}
	if (op->queue != NULL) {
		nngio_queue *q = op->queue;
		switch (atomic_exchange(&op->state, OP_QUEUED)) {
		case OP_WAITED:
			word_wake(&op->state);
			break;
		case OP_ORPHAN: // a dial, a close or a join
			op_recycle(op);
			queue_rele(q);
			return;
		}
		queue_push(q, op); // takes the reference that was taken when the operation was submitted
		return;
	}
	switch (atomic_exchange(&op->state, OP_DONE)) {
	case OP_WAITED:
		word_wake(&op->state);
		break;
	case OP_ORPHAN:
		if (op->kind == NNGIO_RECV) {
			op_park(op);
		} else if (op->kind == NNGIO_STREAM) {
			stream_put_back(op);
		}
		op_recycle(op);
		break;
	}
}

// Turns what an aio says of a send into what happened; `msg` is what is left to be handed back.
int
send_outcome(nngio_op *op, int rv, nng_msg **msg)
{
	// PUB leaves a stale pointer in an aio that succeeded; it is never aborted.
	if (rv == 0 && (op->handle->flags & NNGIO_KEEP_SEND) != 0) {
		*msg = NULL;
	}
	if (*msg == NULL) {
		return (0);
	}
	return (rv != 0 ? rv : NNG_EINTERNAL);
}

static void
finish_send(nngio_op *op)
{
	int      rv  = nng_aio_result(op->aio);
	nng_msg *msg = nng_aio_get_msg(op->aio);
	int      aborted;

	nng_aio_set_msg(op->aio, NULL);
	pending_remove(op, &op->aio, NULL, &aborted);
	rv = send_outcome(op, rv, &msg);
	op_sent(op, msg);
	op_complete(op, rv);
}

// The end of a receive.  If it was given up, what it was given is for the next one.
void
recv_complete(nngio_op *op, int result)
{
	nngio_handle *h       = op->handle;
	int           custody = CUSTODY_NNG;

	if (!atomic_compare_exchange_strong(&op->custody, &custody, CUSTODY_OWNER)) {
		op_park(op);
		atomic_fetch_sub(&h->giving_up, 1);
		word_wake(&h->giving_up);
		result = NNG_ECANCELED;
	}
	op_complete(op, result);
}

static void
finish_recv(nngio_op *op)
{
	nngio_handle *h      = op->handle;
	int           result = nng_aio_result(op->aio);
	nng_msg      *msg    = nng_aio_get_msg(op->aio);
	int           aborted;
	bool          redeliver;

	nng_aio_set_msg(op->aio, NULL);
	redeliver = pending_remove(op, &op->aio, &msg, &aborted);

	if (op->left) {
		if (msg != NULL) {
			op->msg = msg;
			op_park(op);
			result = 0;
		}
		left_ends(op, result);
		op_complete(op, result);
		return;
	}
	if (msg != NULL) {
		op_keep(op, msg);
		recv_complete(op, 0);
		return;
	}
	if ((redeliver || (h->flags & NNGIO_SURVEYS) != 0) && handle_unpark(h, op)) {
		recv_complete(op, 0);
		return;
	}
	if (redeliver && aborted == 0 && result == NNG_ECANCELED && !handle_restarted(h, op)) {
		// Another receive had taken the parked message: go on waiting for what time is left.
		int ms = time_left(op);
		result = NNG_ECLOSED;
		if (handle_try_enter(h)) {
			// The operation may be over, and with it its hold on the handle, before this is.
			handle_hold(h);
			op_next_turn(op); // NNG puts it behind the others now
			pending_add(op);
			op_start(op, op->aio, ms, NULL);
			pending_look_again(h, op);
			handle_leave(h);
			handle_rele(h);
			return;
		}
	}
	left_give_up(h, op->leader, result);
	recv_complete(op, aborted != 0 && result == NNG_ECANCELED ? aborted : result);
}

// See nngio_submit_sleep.
static void
finish_sleep(nngio_op *op)
{
	int rv = nng_aio_result(op->aio);

	if (rv == NNG_ETIMEDOUT) {
		rv = op->slept;
	} else if (rv == NNGIO_SLEEP_ABORTED) {
		rv = NNG_ETIMEDOUT;
	}
	op_complete(op, rv);
}

// The callback of every aio, on a thread of NNG's: its task threads', or the one that reads from the connection; and of sends
// and receives also on a loop's thread, in the call that has led to it: see `start`.  NNG holds no lock of its own here but
// one: of the socket's options and endpoints, for a send that a new pipe has set free.
void
op_callback(void *arg)
{
	nngio_op *op = arg;

	switch (op->kind) {
	case NNGIO_SEND:
		finish_send(op);
		break;
	case NNGIO_RECV:
		(op->waits ? finish_wait : finish_recv)(op);
		break;
	case NNGIO_FLOW:
		stream_callback(op);
		break;
	default:
		finish_sleep(op);
		break;
	}
}

// A loop is to see to this receive.  Called when NNG has it, by the loop's thread.
void
op_on_loop(nngio_op *op)
{
	op->on_loop = true;
	atomic_fetch_add(&op->handle->on_loops, queue_stamp(op->queue));
}

// The loop has seen to the receive, or it is given up.  Called by the loop's thread, or for it.
void
op_off_loop(nngio_op *op)
{
	if (op->on_loop) {
		op->on_loop = false;
		atomic_fetch_sub(&op->handle->on_loops, queue_stamp(op->queue));
	}
}

// Whether a receive on this handle that is about to begin has to wait until its caller has looked whether
// loops that stand still hold messages for it: once, if any but its own loop has a receive there.
bool
op_has_to_look(nngio_op *op, nngio_handle *h)
{
	uint64_t on_loops = atomic_load(&h->on_loops);
	uint64_t own      = op->queue != NULL ? (on_loops & STAMP_COUNT) * queue_stamp(op->queue) : 0;

	op->looked = on_loops != own && !op->looked;
	return (op->looked);
}

// The handle that a pending receive waits on, if loops have receives there too; else NULL.
nngio_handle *
nngio_op_waits_on(nngio_op *op)
{
	bool looks = op->kind == NNGIO_RECV && nngio_op_busy(op) && atomic_load(&op->handle->on_loops) != 0;
	return (looks ? op->handle : NULL);
}

// Whether a loop's receive on this handle is still to be seen to.
bool
nngio_op_receives_on(nngio_op *op, nngio_handle *h)
{
	return (op->on_loop && op->handle == h);
}

bool
nngio_op_busy(nngio_op *op)
{
	unsigned s = atomic_load(&op->state);
	return (s != OP_IDLE && s != OP_DONE);
}

uint64_t
nngio_op_tag(nngio_op *op)
{
	return (op->tag);
}

// The destructor of the operation's Python object.  One that is pending is told to stop and left to
// its callback; nothing waits here.
void
nngio_op_free(nngio_op *op)
{
	unsigned pending = OP_PENDING, waited = OP_WAITED;

	if (op == NULL || nngio_forked()) {
		return;
	}
	// Whoever waited was interrupted.
	atomic_compare_exchange_strong(&op->state, &waited, OP_PENDING);
	if (op->inlined) {
		nngio_abandon(op, NULL);
	}
	if (op->left) {
		// It goes on, for the handle's next receive.
		if (atomic_compare_exchange_strong(&op->state, &pending, OP_ORPHAN)) {
			return;
		}
		pending = OP_PENDING;
	}
	if (op->kind >= NNGIO_DIAL) {
		if (op->kind == NNGIO_HTTP) {
			http_give_up(op);
		} else {
			nngio_op_abort(op, NNG_ECANCELED);
		}
		if (atomic_compare_exchange_strong(&op->state, &pending, OP_ORPHAN)) {
			return;
		}
		pending = OP_PENDING;
	}
	if (atomic_load(&op->state) == OP_PENDING && op->queue == NULL && !op->inlined &&
	    op->kind < NNGIO_DIAL) {
		if (op->kind == NNGIO_RECV && (op->handle->flags & NNGIO_SEND_NEEDS_ONE) != 0) {
			nngio_abandon(op, NULL); // before the next send, which must not answer what this got
		} else {
			nngio_op_abort(op, NNG_ECANCELED);
			if (atomic_compare_exchange_strong(&op->state, &pending, OP_ORPHAN)) {
				return;
			}
		}
	}
	if (op->queue != NULL && nngio_op_busy(op)) {
		// Its loop is gone without having closed its operations.  It is on the queue afterwards, and
		// whoever lets go of that last recycles it.
		nngio_queue *q = op->queue;
		nngio_abandon(op, NULL);
		op->dropped = true;
		op->queue   = NULL;
		queue_rele(q);
		return;
	}
	if (!nngio_op_busy(op)) {
		if (op->kind == NNGIO_RECV && op->queue == NULL) {
			op_park(op); // it had finished, and nobody had looked: as if it had been canceled in that moment
		} else if (op->kind == NNGIO_STREAM) {
			stream_put_back(op);
		}
		op_recycle(op);
	}
}
