// The completion queue: many threads of NNG's push, one thread drains.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "internal.h"

struct nngio_queue {
	atomic_uint         refs;  // Python's, and one per operation that may still push
	uint64_t            stamp; // see internal.h
	_Atomic(nngio_op *) head;  // newest first
	nngio_op           *ready; // oldest first; the draining thread's alone
	int                 rfd, wfd;
	atomic_bool         rung;     // something was written to the descriptor
	atomic_bool         attended; // the draining thread looks at `head`: nothing need be written
	bool                found;    // it has found something there, and not taken it yet
	bool                polled; // it looked at NNG's connections, and has not slept since
	spin_luck           luck;
	nng_aio            *inline_aio; // for attempts that can't block, by the draining thread
};

nngio_queue *
nngio_queue_new(void)
{
	nngio_queue *q = calloc(1, sizeof(*q));
	if (q == NULL) {
		return (NULL);
	}
	atomic_init(&q->refs, 1);
	atomic_init(&q->head, NULL);
	if (nngio_init() != 0 || nng_aio_alloc(&q->inline_aio, NULL, NULL) != 0) {
		free(q);
		return (NULL);
	}
	q->stamp = ((uint64_t) nng_random() << 32 | nng_random()) & ~(uint64_t) STAMP_COUNT;
	q->stamp++;
#ifdef __linux__
	q->rfd = q->wfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->rfd < 0) {
		nng_aio_free(q->inline_aio);
		free(q);
		return (NULL);
	}
#else
	int fds[2];
	if (pipe(fds) != 0) {
		nng_aio_free(q->inline_aio);
		free(q);
		return (NULL);
	}
	for (int i = 0; i < 2; i++) {
		fcntl(fds[i], F_SETFL, O_NONBLOCK);
		fcntl(fds[i], F_SETFD, FD_CLOEXEC);
	}
	q->rfd = fds[0];
	q->wfd = fds[1];
#endif
	return (q);
}

void
queue_hold(nngio_queue *q)
{
	atomic_fetch_add(&q->refs, 1);
}

nng_aio *
queue_inline_aio(nngio_queue *q)
{
	return (q->inline_aio);
}

uint64_t
queue_stamp(nngio_queue *q)
{
	return (q->stamp);
}

static void
recycle_all(nngio_op *op)
{
	while (op != NULL) {
		nngio_op *next = op->next;
		op_recycle(op);
		op = next;
	}
}

void
queue_rele(nngio_queue *q)
{
	if (atomic_fetch_sub(&q->refs, 1) == 1) {
		// Operations whose owner is still there hold the queue, so these were dropped.
		recycle_all(q->ready);
		recycle_all(atomic_load(&q->head));
		nng_aio_free(q->inline_aio);
		close(q->rfd);
		if (q->wfd != q->rfd) {
			close(q->wfd);
		}
		free(q);
	}
}

// The destructor of the queue's Python object.  A forked child leaves it to its parent.
void
nngio_queue_free(nngio_queue *q)
{
	if (q != NULL && !nngio_forked()) {
		queue_rele(q);
	}
}

int
nngio_queue_fd(nngio_queue *q)
{
	return (q->rfd);
}

// Makes the descriptor readable; also used to end a wait.
void
nngio_queue_wake(nngio_queue *q)
{
	uint64_t one = 1;

	if (atomic_exchange(&q->rung, true)) {
		return; // it is readable, or will be in a moment
	}
	while (write(q->wfd, &one, sizeof(one)) < 0 && errno == EINTR) {
	}
}

// Called on any thread of NNG's, from an aio's callback; takes over the caller's reference to `q`.
// From the exchange on, the operation is the drainer's: only `q` may be touched.
void
queue_push(nngio_queue *q, nngio_op *op)
{
	nngio_op *old = atomic_load_explicit(&q->head, memory_order_relaxed);
	do {
		op->next = old;
	} while (!atomic_compare_exchange_weak(&q->head, &old, op));
	if (old == NULL && !atomic_load(&q->attended)) {
		nngio_queue_wake(q);
	}
	queue_rele(q);
}

// Whether NNG served the one receive before the other, on the same handle.
static bool
was_served_before(const nngio_op *one, const nngio_op *other)
{
	return (one->handle == other->handle && one->kind == NNGIO_RECV && other->kind == NNGIO_RECV &&
	    one->msg != NULL && other->msg != NULL && (int32_t) (one->turn - other->turn) < 0);
}

// Adds what has been pushed to `ready`, oldest first; where NNG's threads have overtaken one another with the
// messages of one handle, they are put in order.  First the descriptor is read, then it is said not to have rung, then
// the list is taken.  So who finds that it has rung, and leaves it at that, has pushed what is taken here, or will be after
// a later reading; were it said before, the reading might take away the ring of somebody who came in between.
static void
collect(nngio_queue *q)
{
	uint64_t   buf[8];
	nngio_op **last = &q->ready;
	nngio_op  *op, *oldest = NULL;

	if (nngio_forked()) {
		return; // the descriptor is the parent's too, which would miss what is read here
	}
	if (atomic_load(&q->rung) || !q->found) {
		while (read(q->rfd, buf, sizeof(buf)) == (ssize_t) sizeof(buf) && q->rfd != q->wfd) {
		}
	}
	q->found = false;
	atomic_store(&q->rung, false);
	op = atomic_exchange(&q->head, NULL);
	while (op != NULL) {
		nngio_op  *next = op->next;
		nngio_op **link = &oldest;
		while (*link != NULL && was_served_before(*link, op)) {
			link = &(*link)->next;
		}
		op->next = *link;
		*link    = op;
		op       = next;
	}
	while (*last != NULL) {
		last = &(*last)->next;
	}
	*last = oldest;
}

// Makes sure that `ready` has something, if there is anything.
static void
fill(nngio_queue *q)
{
	if (q->ready == NULL) {
		collect(q);
	}
}

// Hands out up to `max` finished operations, oldest first.  When as many as `max` come back there may be
// more, for which the descriptor does not ring again.
int
nngio_queue_drain(nngio_queue *q, nngio_op **ops, int max)
{
	int n = 0;

	fill(q);
	while (n < max && q->ready != NULL) {
		ops[n++] = q->ready;
		q->ready = q->ready->next;
	}
	return (n);
}

// The same for an event loop: fills in the operations' tags, and makes each ready for its next use.  The
// descriptor stays readable when there is more, and nobody minds it.
int
nngio_queue_settle(nngio_queue *q, uint32_t *tags, int max)
{
	int n = 0;

	fill(q);
	while (n < max && q->ready != NULL) {
		nngio_op *op = q->ready;
		q->ready     = op->next; // settled, it may be submitted anew at once
		tags[n++]    = (uint32_t) op->tag;
		nngio_op_settle(op);
	}
	if (q->ready != NULL && !atomic_load(&q->attended)) {
		nngio_queue_wake(q);
	}
	return (n);
}

// Whether nngio_queue_attend would wait.  It would not where there is something already, which the descriptor tells.
bool
nngio_queue_attends(nngio_queue *q)
{
	return (q->ready == NULL && atomic_load(&q->head) == NULL && spin_pays(&q->luck));
}

// The draining thread is going to look before it sleeps, so nothing need be written to the descriptor until it leaves.
void
nngio_queue_mind(nngio_queue *q)
{
	atomic_store(&q->attended, true);
}

// It goes: what came meanwhile, or is left, makes the descriptor readable.
void
nngio_queue_leave(nngio_queue *q)
{
	atomic_store(&q->attended, false);
	if (atomic_load(&q->head) != NULL || q->ready != NULL) {
		nngio_queue_wake(q);
	}
}

// Whether there is something to drain, which is to be drained then.  Called by the draining thread.
bool
nngio_queue_finds(nngio_queue *q)
{
	q->found = atomic_load(&q->head) != NULL;
	return (q->found || q->ready != NULL);
}

// Waits a moment for something to drain, without the descriptor.  When it returns true there is, and nothing has
// told the loop: the caller has to see to it.  Called by the draining thread.
bool
nngio_queue_attend(nngio_queue *q)
{
	spinner s;

	if (nngio_forked()) {
		return (false); // the connections are the parent's
	}
	if (nngio_queue_finds(q)) {
		return (true);
	}
	if (!spin_begin(&s, &q->luck)) {
		if (q->polled) {
			q->polled = false;
			spin_sleeps();
		}
		return (false);
	}
	q->polled = true;
	spin_polls(&s);
	atomic_store(&q->attended, true);
	while (atomic_load_explicit(&q->head, memory_order_relaxed) == NULL && spin_goes_on(&s)) {
	}
	atomic_store(&q->attended, false);
	q->found = atomic_load(&q->head) != NULL; // whoever pushed before that did not ring
	spin_end(&s, q->found);
	if (!q->found) {
		q->polled = false;
		spin_sleeps();
	}
	return (q->found);
}

// Takes back operations that were handed out last by nngio_queue_settle and not looked at: they are the next
// to be handed out.  Called by the draining thread.
void
nngio_queue_put_back(nngio_queue *q, nngio_op **ops, int n)
{
	while (n-- > 0) {
		nngio_op *op = ops[n];
		atomic_store(&op->state, OP_QUEUED);
		if (op->kind == NNGIO_RECV) {
			op_on_loop(op);
		}
		op->next = q->ready;
		q->ready = op;
	}
	nngio_queue_wake(q);
}

// Moves operations that are on the queue, or will be in the next moment, to its end, in the order given.
// Called for the draining thread, by whoever keeps that from draining.
void
queue_put_last(nngio_queue *q, nngio_op **ops, int n)
{
	nngio_op **link;
	int        found = 0;

	for (int i = 0; i < n; i++) {
		ops[i]->moving = true;
	}
	for (int turn = 0;; turn++) {
		collect(q);
		for (link = &q->ready; *link != NULL;) {
			if ((*link)->moving) {
				(*link)->moving = false;
				*link           = (*link)->next;
				found++;
			} else {
				link = &(*link)->next;
			}
		}
		if (found == n) {
			break;
		}
		pause_briefly(turn);
	}
	for (int i = 0; i < n; i++) {
		*link = ops[i];
		link  = &ops[i]->next;
	}
	*link = NULL;
	nngio_queue_wake(q);
}

// Returns 1 when there is something to drain or a wake came, else 0.
int
nngio_queue_wait(nngio_queue *q, int ms)
{
	struct pollfd pfd = { .fd = q->rfd, .events = POLLIN };
	if (q->ready != NULL) {
		return (1);
	}
	return (poll(&pfd, 1, ms) > 0);
}
