// Waiting for an operation: until the result is there, or a signal comes.

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

#define LOOK_MS 50

// The end of an inline send that NNG has finished; the operation is its caller's.
void
inline_end(nngio_op *op)
{
	nng_msg *left;
	int      aborted;

	op->result = inline_result(op, op->inline_aio, &left);
	if (atomic_load(&op->listed) != NULL) {
		pending_remove(op, &op->inline_aio, NULL, &aborted);
	} else {
		retire_if_late(op, &op->inline_aio); // it may have taken its time even when it was done on return
	}
	op->inlined = false;
	op_sent(op, left);
}

// The same for its owner.
int
inline_finish(nngio_op *op)
{
	inline_end(op);
	atomic_store(&op->state, OP_IDLE);
	if (op->queue != NULL) {
		queue_rele(op->queue); // nothing is pushed
	}
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
	inline_finish(op);
	stay_if_ending();
	return (op->result);
}

static bool
is_pending(nngio_op *op)
{
	return (atomic_load_explicit(&op->state, memory_order_relaxed) == OP_PENDING);
}

// Waits a moment without sleeping.
static void
spin_for(nngio_op *op)
{
	spinner s;

	if (is_pending(op) && spin_begin(&s, &op->handle->luck)) {
		while (is_pending(op) && spin_goes_on(&s)) {
		}
		spin_end(&s, !is_pending(op));
	}
}

// Returns the result, or NNGIO_AGAIN when a signal came or the operation's slice of time is over: the
// caller lets Python run its signal handlers, and calls again.
int
nngio_wait(nngio_op *op)
{
	if (op->inlined) {
		return (inline_wait(op));
	}
	if (op->kind == NNGIO_SEND || op->kind == NNGIO_RECV) {
		spin_for(op);
	}
	for (;;) {
		unsigned s = OP_PENDING;
		if (atomic_compare_exchange_strong(&op->state, &s, OP_WAITED)) {
			s = OP_WAITED;
		}
		if (s == OP_CLAIMED) {
			sched_yield();
			continue;
		}
		if (s != OP_WAITED) {
			stay_if_ending();
			return (op->result);
		}
		if (nngio_forked()) {
			return (NNGIO_FORKED);
		}
		if (op->kind == NNGIO_RECV && atomic_load(&op->handle->on_loops) != 0) {
			// A loop that does not run may hold what this waits for: let Python look, now and then.
			if (word_wait(&op->state, OP_WAITED, LOOK_MS)) {
				continue;
			}
			stay_if_ending();
			return (NNGIO_AGAIN);
		}
		if (!word_wait(&op->state, OP_WAITED, op->slice_ms)) {
			stay_if_ending();
			return (NNGIO_AGAIN);
		}
	}
}

int
nngio_send(nngio_op *op, nngio_handle *h, const void *data, size_t len, int ms)
{
	int rv = nngio_begin_send(op, h, data, len, ms);
	return (rv == NNGIO_PENDING ? nngio_wait(op) : rv);
}

int
nngio_send_box(nngio_op *op, nngio_handle *h, nngio_box *box, int ms)
{
	int rv = nngio_begin_send_box(op, h, box, ms);
	return (rv == NNGIO_PENDING ? nngio_wait(op) : rv);
}

int
nngio_recv(nngio_op *op, nngio_handle *h, int ms)
{
	int rv = nngio_begin_recv(op, h, ms);
	return (rv == NNGIO_PENDING ? nngio_wait(op) : rv);
}

// Cancels a pending operation and waits until NNG has let go of it, which takes no longer than a thread
// of NNG's needs to run.  Returns the outcome: NNG_ECANCELED, or what it was when the cancel came too late.
// An operation with a queue is still to be drained from there.
int
nngio_cancel(nngio_op *op)
{
	unsigned s = OP_PENDING;

	nngio_op_abort(op, NNG_ECANCELED);
	if (op->kind == NNGIO_SEND && (op->queue != NULL ? patience_remove(op) : op->inlined)) {
		return (inline_finish(op));
	}
	while (s == OP_PENDING || s == OP_WAITED) {
		s = OP_PENDING;
		atomic_compare_exchange_strong(&op->state, &s, OP_WAITED);
		word_wait(&op->state, OP_WAITED, 20);
		s = atomic_load(&op->state);
	}
	return (op->result);
}

// Ends an operation whose caller was interrupted: afterwards it is idle (or, if it has a queue, still to
// be drained from there, when a dial or close has come to its end), a message that it had received, or that had got as far as `box`, waits for the handle's next receive, and one that was not
// sent is in its box again, or dropped if it was a copy of bytes.  A connection of HTTP's on which it had been begun is closed.
void
nngio_abandon(nngio_op *op, nngio_box *box)
{
	if (nngio_forked()) {
		return;
	}
	op->looked = false;
	if (op->kind == NNGIO_NONE) {
		return; // it is over, though its loop may still have to see to it
	}
	if (op->kind == NNGIO_HTTP) {
		http_abandon(op);
	}
	if (nngio_op_busy(op)) {
		if (op->kind >= NNGIO_DIAL && op->queue != NULL) {
			nngio_op_abort(op, NNG_ECANCELED);
			if (atomic_load(&op->state) == OP_PENDING) {
				return; // its threads go on, and a loop does not wait for them
			}
		} else {
			nngio_cancel(op);
		}
	}
	op_off_loop(op);
	if (op->kind == NNGIO_RECV) {
		if (op->msg == NULL && box != NULL) {
			op->msg  = box->msg;
			box->msg = NULL;
		}
		op_park(op);
	} else if (op->kind == NNGIO_STREAM) {
		stream_put_back(op);
	}
	nngio_op_drop(op);
	join_forget(op);
	op->kind = NNGIO_NONE;
}

static int
compare_turns(const void *one, const void *two)
{
	const nngio_op *a = *(nngio_op *const *) one;
	const nngio_op *b = *(nngio_op *const *) two;

	if (a->handle != b->handle) {
		return (a->handle < b->handle ? -1 : 1);
	}
	return ((int32_t) (a->turn - b->turn));
}

// By the order in which they began: an operation takes over the turn of a message that it is given.
static int
compare_places(const void *one, const void *two)
{
	const nngio_op *a = *(nngio_op *const *) one;
	const nngio_op *b = *(nngio_op *const *) two;

	return ((int32_t) (a->place - b->place));
}

static void
forbid_redelivery(nngio_op *op)
{
	if (op->kind == NNGIO_RECV && nngio_op_busy(op)) {
		pthread_mutex_lock(&op->handle->lock);
		if (op->aborted == 0) {
			op->aborted = NNG_ECANCELED;
		}
		pthread_mutex_unlock(&op->handle->lock);
	}
}

// Abandons operations of one thread's together, and sorts them as they were begun.  What they had been given
// is parked before NNG is told to let go of those that wait: else NNG would give the next message to a receive
// of somebody else's, who has a right to these first.  And none of them is given what another gives back.
void
nngio_abandon_all(nngio_op **ops, int n)
{
	int done = 0;

	if (nngio_forked()) {
		return;
	}
	for (int i = 0; i < n; i++) {
		forbid_redelivery(ops[i]);
	}
	for (int i = 0; i < n; i++) {
		if (atomic_load(&ops[i]->state) == OP_QUEUED) {
			nngio_op *op = ops[i];
			ops[i]       = ops[done];
			ops[done++]  = op;
		}
	}
	qsort(ops, (size_t) done, sizeof(*ops), compare_turns);
	for (int i = 0; i < done; i++) {
		nngio_abandon(ops[i], NULL);
	}
	for (int i = done; i < n; i++) {
		if (ops[i]->kind == NNGIO_SEND || ops[i]->kind == NNGIO_RECV) {
			nngio_op_abort(ops[i], NNG_ECANCELED); // all before the first is waited for
		}
	}
	for (int i = done; i < n; i++) {
		if (nngio_op_busy(ops[i]) && ops[i]->kind != NNGIO_NONE && ops[i]->kind < NNGIO_DIAL) {
			nngio_cancel(ops[i]);
		}
	}
	qsort(ops + done, (size_t) (n - done), sizeof(*ops), compare_turns);
	for (int i = done; i < n; i++) {
		nngio_abandon(ops[i], NULL);
	}
}

// The same for receives of a loop that stands still.  They come out of its queue in the order in which they
// were begun, for the loop to begin them anew.  Called by a thread that keeps the loop's from draining.
void
nngio_lend(nngio_queue *q, nngio_op **ops, int n)
{
	if (n != 0 && !nngio_forked()) {
		nngio_abandon_all(ops, n);
		for (int i = 0; i < n; i++) {
			ops[i]->result = NNG_ECANCELED; // it has none, if its task is cancelled before it is begun anew
		}
		qsort(ops, (size_t) n, sizeof(*ops), compare_places);
		queue_put_last(q, ops, n);
	}
}
