// How byte streams begin and end: who has them, closing, and the exit.  See stream.c.

#include <stdlib.h>

#include "stream.h"

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static nngio_stream   *open_first;

void
stream_list(nngio_stream *s)
{
	pthread_mutex_lock(&open_lock);
	if ((s->open_next = open_first) != NULL) {
		open_first->open_prev = s;
	}
	open_first = s;
	pthread_mutex_unlock(&open_lock);
}

static void
unlist(nngio_stream *s)
{
	pthread_mutex_lock(&open_lock);
	if (s->open_prev != NULL) {
		s->open_prev->open_next = s->open_next;
	} else if (open_first == s) {
		open_first = s->open_next;
	}
	if (s->open_next != NULL) {
		s->open_next->open_prev = s->open_prev;
	}
	s->open_next = s->open_prev = NULL;
	pthread_mutex_unlock(&open_lock);
}

// Makes one of a kind, without its C object.  NULL when there is no memory.
nngio_stream *
stream_new(enum stream_kind kind)
{
	nngio_stream *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		return (NULL);
	}
	atomic_init(&s->refs, 1);
	s->kind = kind;
	s->in.stream = s->out.stream = s;
	pthread_mutex_init(&s->lock, NULL);
	if ((s->in.io = nngio_op_new(-1)) == NULL || (kind == STREAM && (s->out.io = nngio_op_new(-1)) == NULL)) {
		atomic_store(&s->closed, 2);
		stream_rele(s);
		return (NULL);
	}
	s->in.io->kind = NNGIO_FLOW;
	s->in.io->flow = &s->in;
	if (kind == STREAM) {
		s->out.io->kind = NNGIO_FLOW;
		s->out.io->flow = &s->out;
	}
	return (s);
}

// Makes one for what an endpoint is about to be given.
nngio_stream *
stream_for(nngio_stream *endpoint)
{
	nngio_stream *s = stream_new(STREAM);

	if (s != NULL && endpoint->ws && nng_aio_alloc(&s->fresh, op_callback, s->in.io) != 0) {
		s->fresh = NULL;
		atomic_store(&s->closed, 2);
		stream_rele(s);
		return (NULL);
	}
	return (s);
}

void
stream_hold(nngio_stream *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

static void
io_free(nngio_op *io)
{
	if (io != NULL) {
		io->kind = NNGIO_NONE;
		io->flow = NULL;
		op_recycle(io);
	}
}

// The last one to have it closes it, if nobody has: only what was accepted and never taken.  Any thread.
void
stream_rele(nngio_stream *s)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	if (atomic_load(&s->closed) == 0) {
		atomic_fetch_add(&s->refs, 1);
		nngio_stream_close(s);
		stream_rele(s); // a flow that was busy may have it still
		return;
	}
	pieces_free(s->in.first);
	pieces_free(s->out.first);
	piece_free(s->in.filling);
	if (s->fresh != NULL) {
		nng_aio_free(s->fresh);
	}
	io_free(s->in.io);
	io_free(s->out.io);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

// The same for a call of Python's.
int
stream_enter_call(nngio_stream *s)
{
	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!stream_enter(s)) {
		stay_if_ending();
		return (NNG_ECLOSED);
	}
	return (0);
}

// Until the callback has run, which NNG up to 1.11 may be about to call when it says that the aio is stopped.
static void
wait_until_idle(nngio_stream *s, flow *f)
{
	bool busy = true;

	for (int turn = 0; busy && turn < 10000; turn++) {
		pthread_mutex_lock(&s->lock);
		busy = f->busy;
		pthread_mutex_unlock(&s->lock);
		if (busy) {
			pause_briefly(turn);
		}
	}
}

// Lets NNG have no aio of a websocket's any more that could be timed out: its timer thread may have noted one, to cancel it
// with the websocket's data, and only nng_aio_free waits for that.  See pending.c.
static void
retire_reading(nngio_stream *s)
{
	if (s->fresh != NULL) {
		nng_aio_stop(s->in.io->aio); // the flow's callback can't begin another receive
		wait_until_idle(s, &s->in);
		nng_aio_free(s->in.io->aio);
		s->in.io->aio = s->fresh;
		s->fresh      = NULL;
	}
}

static void
close_c(nngio_stream *s)
{
	switch (s->kind) {
	case DIALER:
		nng_stream_dialer_close(s->c);
		nng_stream_dialer_free(s->c);
		break;
	case LISTENER:
		nng_stream_listener_close(s->c);
		nng_stream_listener_free(s->c);
		break;
	default:
		if (s->c != NULL) {
			nng_stream_close(s->c);
			retire_reading(s);
			nng_stream_free(s->c);
		}
		break;
	}
}

// Closes it: what waits on it ends with NNG_ECLOSED.  NNG_ECLOSED when it was closed before.  Any thread, but for a
// dialer or listener none of NNG's: those wait for what NNG is about to do with them, microseconds as a rule.
int
nngio_stream_close(nngio_stream *s)
{
	finished  done = { .last = &done.first };
	nngio_op *op;
	piece    *unread;
	int       open = 0;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!atomic_compare_exchange_strong(&s->closed, &open, 1)) {
		return (NNG_ECLOSED);
	}
	for (int turn = 0; atomic_load(&s->inside) != 0; turn++) {
		pause_briefly(turn);
	}
	close_c(s);
	unlist(s);
	pthread_mutex_lock(&s->lock);
	s->in.error = s->out.error = NNG_ECLOSED;
	while ((op = s->in.waiting_first) != NULL) {
		flow_unlink(&s->in, op);
		flow_finish(&done, op, NNG_ECLOSED);
	}
	flow_drop_outgoing(&s->out, &done, NNG_ECLOSED);
	unread = flow_take_all(&s->in);
	atomic_store(&s->closed, 2);
	pthread_mutex_unlock(&s->lock);
	flow_complete(&done);
	pieces_free(unread);
	return (0);
}

// Whether any byte has come from the peer.
bool
nngio_stream_heard(nngio_stream *s)
{
	pthread_mutex_lock(&s->lock);
	bool heard = s->in.place != 0;
	pthread_mutex_unlock(&s->lock);
	return (heard);
}

bool
nngio_stream_closed(nngio_stream *s)
{
	return (atomic_load(&s->closed) != 0);
}

// The destructor of the Python object.  What is still pending keeps it.
void
nngio_stream_free(nngio_stream *s)
{
	if (s != NULL && !nngio_forked()) {
		if (s->kind != STREAM) {
			nngio_stream_close(s);
		}
		stream_rele(s);
	}
}

// Not one that another thread is letting go of, and about to close.
static bool
hold_one_that_is_held(nngio_stream *s)
{
	unsigned refs = atomic_load(&s->refs);

	while (refs != 0 && !atomic_compare_exchange_weak(&s->refs, &refs, refs + 1)) {
	}
	return (refs != 0);
}

// The exit: closes what is open, so that peers are told and the files of UNIX sockets removed.
void
streams_close(void)
{
	nngio_stream *s;

	for (;;) {
		pthread_mutex_lock(&open_lock);
		for (s = open_first; s != NULL && (atomic_load(&s->closed) != 0 || !hold_one_that_is_held(s)); s = s->open_next) {
		}
		pthread_mutex_unlock(&open_lock);
		if (s == NULL) {
			return;
		}
		nngio_stream_close(s);
		stream_rele(s);
	}
}
