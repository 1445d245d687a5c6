// Devices: what raw sockets receive is sent on by others, in one direction or in both.
//
// NNG has devices of its own.  Those of 1.5.2 can't be cancelled, and shut their sockets down; those of 1.6 and
// later drop the message that they hold when they end, and with some timeouts use freed memory.  All of them
// write behind the end of messages with long headers (see message_make_room).  So this is another one, which is
// the same with every NNG.  What makes a device of two raw sockets is in their protocols: a receive there puts
// into the header what a send takes from it.
//
// A path is one direction.  It receives on `src`, sends on `dst`, and does so again.  One operation is always
// pending, and whoever finishes it goes on with the path: a thread of NNG's, so nothing here waits.  Nothing is
// tried without blocking first: next to the hops between threads, that saves nothing here.  To submit an
// operation is the last that a thread does with a path; but for that, it holds the device.
//
// The end.  `ending` is 0 while the device runs, and then what it has ended with; who comes first decides.  He
// has what is pending aborted.  An abort that comes before NNG has an operation does nothing; so whoever has
// submitted one looks at `ending` afterwards, and one of the two sees the other.  A message that was received and
// not sent is parked, for the next receive on `src`, or the next device.  When the last path has come to its end,
// the device is over.

#include <stdlib.h>

#include "internal.h"

// Somebody has ended it; `ending` is one of NNG's codes elsewhere.
#define STOPPED (-1)

struct path {
	nngio_device    *device;
	nngio_handle    *src, *dst;
	nngio_op        *in, *out; // the operations on these; their `path` is this one
	_Atomic uint64_t forwarded;
};

struct nngio_device {
	atomic_uint     refs; // Python's, one of each path, and of each operation that waits for the end
	atomic_int      ending;
	atomic_uint     running; // paths
	atomic_uint     over;    // for those who sleep until it is; changed under the lock
	int             paths_count;
	path            paths[2];
	pthread_mutex_t lock;    // of the field below
	nngio_op       *waiting; // operations that wait for the end
};

nngio_device *
nngio_device_new(void)
{
	nngio_device *d = calloc(1, sizeof(*d));

	if (d != NULL) {
		atomic_init(&d->refs, 1);
		pthread_mutex_init(&d->lock, NULL);
	}
	return (d);
}

static void
device_hold(nngio_device *d)
{
	atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
}

static void
recycle(nngio_op *op)
{
	if (op != NULL) {
		op->path = NULL;
		atomic_store(&op->state, OP_IDLE);
		op_recycle(op);
	}
}

static void
device_rele(nngio_device *d)
{
	if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	for (int i = 0; i < 2; i++) {
		path *p = &d->paths[i];
		recycle(p->in);
		recycle(p->out);
		if (p->src != NULL) {
			handle_rele(p->src);
			handle_rele(p->dst);
		}
	}
	pthread_mutex_destroy(&d->lock);
	free(d);
}

// What a device that is over has ended with.
static int
result_of(nngio_device *d)
{
	int code = atomic_load(&d->ending);
	return (code == STOPPED ? 0 : code);
}

// Has all paths end with `code`, unless they are ending already.  The caller holds the device.
static void
device_end(nngio_device *d, int code)
{
	int running = 0;

	if (!atomic_compare_exchange_strong(&d->ending, &running, code)) {
		return;
	}
	for (int i = 0; i < d->paths_count; i++) {
		nngio_op_abort(d->paths[i].in, NNG_ECANCELED);
		nngio_op_abort(d->paths[i].out, NNG_ECANCELED);
	}
}

static bool
enlist(nngio_device *d, nngio_handle *h)
{
	bool is_free;

	pthread_mutex_lock(&h->lock);
	if ((is_free = h->device == NULL)) {
		h->device = d;
	}
	pthread_mutex_unlock(&h->lock);
	return (is_free);
}

static void
unlist(nngio_handle *h)
{
	pthread_mutex_lock(&h->lock);
	h->device = NULL;
	pthread_mutex_unlock(&h->lock);
}

// The handle is closed; nobody enters it any more.  Its device may have nothing pending there.
void
device_closes(nngio_handle *h)
{
	nngio_device *d;

	pthread_mutex_lock(&h->lock);
	if ((d = h->device) != NULL) {
		device_hold(d);
	}
	pthread_mutex_unlock(&h->lock);
	if (d != NULL) {
		device_end(d, NNG_ECLOSED);
		device_rele(d);
	}
}

// The last path has ended.
static void
device_over(nngio_device *d)
{
	nngio_op *op, *next;

	unlist(d->paths[0].src);
	unlist(d->paths[0].dst);
	pthread_mutex_lock(&d->lock);
	op         = d->waiting;
	d->waiting = NULL;
	atomic_store(&d->over, 1);
	pthread_mutex_unlock(&d->lock);
	word_wake(&d->over);
	for (; op != NULL; op = next) {
		next = op->pending_next;
		op_complete(op, result_of(d));
	}
}

// Nothing of the path is pending any more.
static void
path_ends(path *p, int code)
{
	nngio_device *d = p->device;

	if (p->out->msg != NULL) {
		p->in->msg  = p->out->msg;
		p->out->msg = NULL;
	}
	op_park(p->in);
	device_end(d, code);
	if (atomic_fetch_sub(&d->running, 1) == 1) {
		device_over(d);
	}
	device_rele(d); // the path's
}

// The end of a submission on `h`: from there on the path may be another thread's, or over.
static int
submitted(nngio_device *d, nngio_handle *h, nngio_op *op)
{
	if (atomic_load(&d->ending) != 0) {
		nngio_op_abort(op, NNG_ECANCELED);
	}
	handle_leave(h);
	device_rele(d);
	return (NNGIO_PENDING);
}

// Sends what `in` has.  The operations were begun once for all: an abort that one of them has been told of stays.
static int
path_send(path *p)
{
	nngio_device *d   = p->device;
	nngio_op     *out = p->out;
	nngio_handle *h   = p->dst;
	nng_msg      *msg = p->in->msg;
	int           rv;

	if (!handle_try_enter(h)) {
		return (NNG_ECLOSED);
	}
	p->in->msg = NULL;
	op_set_header(out, h, msg);
	if ((rv = message_make_room(h, &msg)) != 0) {
		op_sent(out, msg); // it was not
		handle_leave(h);
		return (rv);
	}
	device_hold(d);
	op_send(out, NNG_DURATION_INFINITE, msg);
	return (submitted(d, h, out));
}

// Receives into `in`; what is there already is sent.
static int
path_receive(path *p)
{
	nngio_device *d  = p->device;
	nngio_op     *in = p->in;
	nngio_handle *h  = p->src;

	if (atomic_load(&d->ending) != 0) {
		return (NNG_ECANCELED);
	}
	if (!handle_try_enter(h)) {
		return (NNG_ECLOSED);
	}
	op_next_turn(in);
	in->place = in->turn;
	if (handle_unpark(h, in)) {
		handle_leave(h);
		return (path_send(p));
	}
	device_hold(d);
	(void) op_receive(in, NNG_DURATION_INFINITE);
	return (submitted(d, h, in));
}

static void
path_starts(path *p)
{
	int rv = path_receive(p);

	if (rv != NNGIO_PENDING) {
		path_ends(p, rv);
	}
}

// One of a path's operations has finished.  Called by its callback.
void
path_continues(nngio_op *op)
{
	path *p  = op->path;
	int   rv = op->result;

	if (rv == 0 && op == p->in) {
		rv = path_send(p);
	} else if (rv == 0) {
		atomic_fetch_add_explicit(&p->forwarded, 1, memory_order_relaxed);
		rv = path_receive(p);
	}
	if (rv != NNGIO_PENDING) {
		path_ends(p, rv);
	}
}

static int
path_make(nngio_device *d, nngio_handle *src, nngio_handle *dst)
{
	path *p = &d->paths[d->paths_count];
	int   rv;

	handle_hold(src);
	handle_hold(dst);
	p->device = d;
	p->src    = src;
	p->dst    = dst;
	if ((p->in = nngio_op_new(-1)) == NULL || (p->out = nngio_op_new(-1)) == NULL) {
		return (NNG_ENOMEM);
	}
	if ((rv = op_begin(p->in, src, NNGIO_RECV)) != 0 || (rv = op_begin(p->out, dst, NNGIO_SEND)) != 0) {
		return (rv);
	}
	p->in->path = p->out->path = p;
	atomic_store(&p->in->state, OP_PENDING); // for nngio_op_abort
	atomic_store(&p->out->state, OP_PENDING);
	d->paths_count++;
	return (0);
}

// Begins to forward from `a` to `b` (`forth`), from `b` to `a` (`back`), or both; `a` may be `b`.  Once for each
// device.  NNG_EBUSY when one of them is in a device already.
int
nngio_device_start(nngio_device *d, nngio_handle *a, nngio_handle *b, bool forth, bool back)
{
	int rv;

	if ((rv = handle_enter(a)) != 0) {
		return (rv);
	}
	if ((rv = handle_enter(b)) != 0) {
		handle_leave(a);
		return (rv);
	}
	if (!enlist(d, a)) {
		rv = NNG_EBUSY;
	} else if (a != b && !enlist(d, b)) {
		unlist(a);
		rv = NNG_EBUSY;
	}
	if (rv == 0) {
		if ((!forth || (rv = path_make(d, a, b)) == 0) && back) {
			rv = path_make(d, b, a);
		}
		if (rv != 0) {
			d->paths_count = 0; // none of them has begun
			unlist(a);
			unlist(b);
		}
	}
	handle_leave(a);
	handle_leave(b);
	if (rv != 0) {
		return (rv);
	}
	atomic_store(&d->running, (unsigned) d->paths_count);
	for (int i = 0; i < d->paths_count; i++) {
		device_hold(d); // the path's
	}
	for (int i = 0; i < d->paths_count; i++) {
		handle_settle(d->paths[i].src);
		path_starts(&d->paths[i]);
	}
	return (0);
}

// NNGIO_BUSY while it runs; then 0 if it was stopped, or the code of the error that has ended it.
int
nngio_device_result(nngio_device *d)
{
	return (atomic_load(&d->over) != 0 || d->paths_count == 0 ? result_of(d) : NNGIO_BUSY);
}

// Ends it and waits until NNG has let go of its messages, which takes no longer than threads of NNG's need to
// run.  Any thread but those.
void
nngio_device_stop(nngio_device *d)
{
	if (nngio_forked() || d->paths_count == 0) {
		return;
	}
	device_end(d, STOPPED);
	while (atomic_load(&d->over) == 0) {
		word_wait(&d->over, 0, 20);
	}
}

// The number of messages that were forwarded from the socket to the other.
uint64_t
nngio_device_forwarded(nngio_device *d, nngio_handle *from)
{
	uint64_t n = 0;

	for (int i = 0; i < d->paths_count; i++) {
		if (d->paths[i].src == from) {
			n = atomic_load_explicit(&d->paths[i].forwarded, memory_order_relaxed);
		}
	}
	return (n);
}

// The destructor of the device's Python object.  Nothing waits here.
void
nngio_device_free(nngio_device *d)
{
	if (d != NULL && !nngio_forked()) {
		device_end(d, STOPPED);
		device_rele(d);
	}
}

// An operation that finishes when the device is over, with its result.
int
nngio_begin_join(nngio_op *op, nngio_device *d)
{
	int rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if ((rv = op_begin(op, d->paths[0].src, NNGIO_JOIN)) != 0) {
		return (rv);
	}
	device_hold(d);
	op->device = d; // until join_forget
	pthread_mutex_lock(&d->lock);
	if (atomic_load(&d->over) != 0) {
		rv = result_of(d);
	} else {
		rv               = NNGIO_PENDING;
		op->pending_next = d->waiting;
		d->waiting       = op;
		op_pending(op);
	}
	pthread_mutex_unlock(&d->lock);
	return (rv);
}

// Ends the waiting with `code`; the device goes on.  Called by the operation's owner.
void
join_abort(nngio_op *op, int code)
{
	nngio_device *d = op->device;
	nngio_op    **link;
	bool          waits;

	pthread_mutex_lock(&d->lock);
	for (link = &d->waiting; *link != NULL && *link != op; link = &(*link)->pending_next) {
	}
	if ((waits = *link != NULL)) {
		*link = op->pending_next;
	}
	pthread_mutex_unlock(&d->lock);
	if (waits) {
		op_complete(op, code);
	}
}

// The operation waits for no device any more.  Called by its owner.
void
join_forget(nngio_op *op)
{
	if (op->device != NULL) {
		nngio_device *d = op->device;
		op->device      = NULL;
		device_rele(d);
	}
}
