// Byte streams, NNG's nng_stream_*: dialers, listeners, and the streams that they make.
//
// Theory of operation.  NNG can't take back what it was asked for without doing harm: to cancel a receive or a send
// ends a TLS connection, or leaves half a frame of a websocket's.  So a call never has NNG's aio.  Each direction
// of a stream is a flow, with an aio of its own; calls wait for the flow, and one that is interrupted stops waiting, no
// more.  What NNG brings afterwards is for the next call.
//
// What comes in is kept in pieces, by their place in the stream, until a call takes it: a receive has its piece in
// its operation, and one that is interrupted later puts it back where it was.  Accepting is the same with whole streams in
// the place of bytes, and dialing too, but that each dial has a dialer to itself.
//
// What goes out is copied once, so that NNG never reads a buffer of Python's, and is written to its end in the order of
// the calls.
//
// Locks.  A stream's lock is of its flows; NNG is never called under it.  Calls into NNG are counted while they run, and
// closing waits for those; after that, nobody has NNG's object.
//
// Here are the calls, and what NNG makes of them; the flows are in stream_flow.c, how streams begin and end is in stream_life.c,
// and what only dialers and listeners have, and the options, in stream_endpoint.c.

#include <limits.h>
#include <string.h>

#include "stream.h"

#define LARGEST_STEP ((size_t) 1 << 30) // what NNG is given at a time: releases before 1.12 count in an int
#define LARGEST_TEXT 32768              // of a text's frame: NNG would cut one in the middle of a character
#define LOOK_MS 1000                    // see start_receive

// A websocket that its peer has closed while nobody received lets a receive wait for ever, in releases of NNG that
// are as they came.  It does tell that it is closed: so we look before, and every second.
static int
websocket_timeout(nngio_stream *s)
{
	bool text;

	return (nng_stream_get_bool(s->c, NNG_OPT_WS_RECV_TEXT, &text) == NNG_ECLOSED ? 1 : LOOK_MS);
}

static void
start_receive(nngio_stream *s, flow *f)
{
	piece  *p   = f->filling;
	nng_iov iov = { .iov_buf = p->data + p->off + p->len, .iov_len = p->size - p->off - p->len };

	if (iov.iov_len > LARGEST_STEP) {
		iov.iov_len = LARGEST_STEP;
	}
	nng_aio_set_iov(f->io->aio, 1, &iov);
	f->io->ms = s->ws ? websocket_timeout(s) : NNG_DURATION_INFINITE;
	nng_aio_set_timeout(f->io->aio, f->io->ms);
	nng_stream_recv(s->c, f->io->aio);
}

static void
start_send(nngio_stream *s, flow *f)
{
	piece  *p   = f->first;
	nng_iov iov = { .iov_buf = p->data + p->off, .iov_len = p->len - p->off };

	if (iov.iov_len > LARGEST_STEP) {
		iov.iov_len = LARGEST_STEP;
	}
	if (s->text && iov.iov_len > LARGEST_TEXT) {
		size_t n = LARGEST_TEXT;
		while (n > LARGEST_TEXT - 4 && (((char *) iov.iov_buf)[n] & 0xC0) == 0x80) {
			n--;
		}
		iov.iov_len = n;
	}
	nng_aio_set_iov(f->io->aio, 1, &iov);
	nng_aio_set_timeout(f->io->aio, NNG_DURATION_INFINITE);
	nng_stream_send(s->c, f->io->aio);
}

static void stream_end(flow *f, int result);

// Gives NNG the flow's aio, which its callback gives back.  The caller has set `busy`, and has the stream.
static void
start(flow *f)
{
	nngio_stream *s = f->stream;

	stream_hold(s); // given back by stream_end
	if (!stream_enter(s)) {
		stream_end(f, NNG_ECLOSED);
		return;
	}
	op_prompt(f->io->aio, false); // its callback may close a connection, which waits for the thread that reads from it
	nng_aio_set_timeout(f->io->aio, NNG_DURATION_INFINITE);
	if (s->kind == DIALER) {
		nng_stream_dialer_dial(s->c, f->io->aio);
	} else if (s->kind == LISTENER) {
		nng_stream_listener_accept(s->c, f->io->aio);
	} else if (f == &s->in) {
		start_receive(s, f);
	} else {
		start_send(s, f);
	}
	stream_leave(s);
}

// What NNG's codes mean for what comes in: NNG_ECONNSHUT is the end in good order.  Over TLS the peer's notice of it is
// NNG_ECONNREFUSED, in releases that are as they came, and the end of a connection without a notice is the same as with one.
static int
reading_error(nngio_stream *s, int rv)
{
	if (s->tls && rv == NNG_ECONNREFUSED) {
		return (NNG_ECONNSHUT);
	}
	return (rv == NNG_ECLOSED && atomic_load(&s->closed) == 0 ? NNG_ECONNRESET : rv);
}

static int
writing_error(nngio_stream *s, int rv)
{
	if (s->tls && rv == NNG_ECONNREFUSED) {
		return (NNG_ECONNSHUT);
	}
	return (rv == NNG_ECLOSED && atomic_load(&s->closed) == 0 ? NNG_ECONNSHUT : rv);
}

// NNG has given back the aio of a stream's flow that comes in.
static void
received(nngio_stream *s, flow *f, int rv, size_t n)
{
	piece *p = f->filling;

	if (rv == NNG_ETIMEDOUT && f->io->ms == LOOK_MS) {
		return; // the next receive looks again
	}
	if (rv == NNG_ETIMEDOUT && f->io->ms == 1) {
		rv = NNG_ECLOSED;
	}
	if (rv == 0 && n == 0) {
		rv = NNG_ECONNSHUT;
	}
	if (rv == 0) {
		p->len += n;
		f->place += n;
		if (f->waiting_first != NULL && f->held + p->len < f->waiting_first->least &&
		    p->off + p->len < p->size) {
			return; // into the same piece
		}
	} else if (rv == NNG_ECONNSHUT && !f->shut && !s->tls && !s->ws) {
		f->shut = true; // that is what it says of a reset too, and before the last bytes are read
	} else {
		f->error = reading_error(s, rv);
		if (rv == NNG_ECONNSHUT &&
		    (s->out.error != 0 ? s->out.error :
		     s->out.busy       ? nng_aio_result(s->out.io->aio) :
		                         0) == NNG_ECONNRESET) {
			// The system tells it once, and a send has heard it; though that one's callback may be still to come.
			f->error = NNG_ECONNRESET;
		}
		if (s->tls && s->out.error == 0) {
			s->out.error = NNG_ECONNSHUT; // NNG would take what is sent, and let it lie
		}
	}
	if (rv == 0 || f->error != 0) {
		f->filling = NULL;
		if (p->len != 0) {
			flow_insert(f, p);
		} else {
			piece_free(p);
		}
	}
}

// The same of a listener's or dialer's: a failure is the first call's that waits.
static void
accepted(nngio_stream *s, flow *f, int rv, finished *done)
{
	nngio_op *op = f->waiting_first;

	if (rv == 0) {
		nngio_stream *given = f->filling->given;
		given->c            = nng_aio_get_output(f->io->aio, 0);
		given->tls          = s->tls;
		given->ws           = s->ws;
		if (s->ws && nng_stream_get_bool(given->c, NNG_OPT_WS_SEND_TEXT, &given->text) != 0) {
			given->text = false;
		}
		f->filling->len = 1;
		f->place++;
		stream_list(given);
		flow_insert(f, f->filling);
		f->filling = NULL;
	} else if (op != NULL) {
		flow_unlink(f, op);
		flow_finish(done, op, rv);
	}
}

// The same of what goes out.
static void
sent(nngio_stream *s, flow *f, int rv, size_t n, finished *done)
{
	piece *p = f->first;

	if (rv != 0) {
		f->error = writing_error(s, rv);
		flow_drop_outgoing(f, done, f->error);
		return;
	}
	p->off += n;
	if (p->off == p->len || !p->all) {
		flow_pop(f);
		if (p->op != NULL) {
			p->op->piece = NULL;
			p->op->bytes = p->off;
			flow_finish(done, p->op, 0);
		}
		piece_free(p);
	}
	if (f->error != 0) {
		flow_drop_outgoing(f, done, f->error); // the peer's end was heard while this was going out
	}
}

static void
stream_end(flow *f, int rv)
{
	nngio_stream *s     = f->stream;
	finished      done  = { .last = &done.first };
	piece        *unread = NULL;
	bool          again;

	pthread_mutex_lock(&s->lock);
	f->busy = false;
	if (atomic_load(&s->closed) != 0) {
		rv = rv != 0 ? NNG_ECLOSED : 0;
	}
	if (s->kind != STREAM) {
		accepted(s, f, rv, &done);
	} else if (f == &s->in) {
		received(s, f, rv, rv == 0 ? nng_aio_count(f->io->aio) : 0);
	} else {
		sent(s, f, rv, rv == 0 ? nng_aio_count(f->io->aio) : 0, &done);
	}
	if (atomic_load(&s->closed) != 0) {
		f->error = NNG_ECLOSED;
		flow_drop_outgoing(&s->out, &done, NNG_ECLOSED);
		unread = flow_take_all(&s->in);
	}
	again = f == &s->in ? flow_serve(f, &done) : flow_write_on(f);
	pthread_mutex_unlock(&s->lock);
	flow_complete(&done);
	pieces_free(unread);
	if (again) {
		start(f);
	}
	stream_rele(s);
}

// The callback of a flow's aio, on a task thread of NNG's, which holds no lock.
void
stream_callback(nngio_op *io)
{
	stream_end(io->flow, nng_aio_result(io->aio));
}

// Makes an idle operation ready.
static void
begin(nngio_op *op, nngio_stream *s, int ms)
{
	op_ready(op, NNGIO_STREAM, ms);
	if (op->stream != s) {
		stream_hold(s);
		if (op->stream != NULL) {
			stream_rele(op->stream);
		}
		op->stream = s;
	}
}

// Receives at least so many bytes and at most so many, which are the operation's body then; of a listener or
// dialer, which has no bytes, one stream.  NNGIO_PENDING, or the outcome.
int
nngio_stream_begin_recv(nngio_op *op, nngio_stream *s, size_t least, size_t most, int ms)
{
	finished done = { .last = &done.first };
	flow    *f    = &s->in;
	int      rv;
	bool     go;

	if ((rv = stream_enter_call(s)) != 0) {
		return (rv);
	}
	begin(op, s, ms);
	op->least = least;
	op->most  = most;
	pthread_mutex_lock(&s->lock);
	if (f->waiting_first == NULL && (f->held >= least || f->error != 0)) {
		rv = op->result = f->held >= least ? flow_take(f, op) : f->error;
		pthread_mutex_unlock(&s->lock);
		stream_leave(s);
		return (rv);
	}
	op_pending(op);
	op->streaming = true;
	if ((op->pending_prev = f->waiting_last) != NULL) {
		f->waiting_last->pending_next = op;
	} else {
		f->waiting_first = op;
	}
	f->waiting_last = op;
	go              = flow_serve(f, &done);
	pthread_mutex_unlock(&s->lock);
	flow_complete(&done);
	if (go) {
		start(f);
	}
	stream_leave(s);
	return (NNGIO_PENDING);
}

// Sends bytes: some of them, at least one, or all.  How many were sent is in the operation's `bytes` then.
int
nngio_stream_begin_send(nngio_op *op, nngio_stream *s, const void *data, size_t len, bool all, int ms)
{
	flow  *f = &s->out;
	piece *p;
	int    rv;
	bool   go;

	if ((rv = stream_enter_call(s)) != 0) {
		return (rv);
	}
	begin(op, s, ms);
	if ((p = piece_new(len)) == NULL) {
		stream_leave(s);
		return (NNG_ENOMEM);
	}
	memcpy(p->data, data, len);
	p->len = len;
	p->all = all;
	p->op  = op;
	pthread_mutex_lock(&s->lock);
	if (f->error != 0 || len == 0) {
		rv = op->result = f->error;
		pthread_mutex_unlock(&s->lock);
		piece_free(p);
		stream_leave(s);
		return (rv);
	}
	op_pending(op);
	op->streaming = true;
	op->piece     = p;
	if (f->last != NULL) {
		f->last->next = p;
	} else {
		f->first = p;
	}
	f->last = p;
	go      = flow_write_on(f);
	pthread_mutex_unlock(&s->lock);
	if (go) {
		start(f);
	}
	stream_leave(s);
	return (NNGIO_PENDING);
}

// Takes back a send whose turn has not come; one that has begun goes on without its operation.
static void
leave_send(flow *f, nngio_op *op)
{
	piece  *p = op->piece;
	piece **link;

	op->piece = NULL;
	p->op     = NULL;
	if (p != f->first) {
		piece *before = f->first;
		while (before->next != p) {
			before = before->next;
		}
		link = &before->next;
		if ((*link = p->next) == NULL) {
			f->last = before;
		}
		piece_free(p);
	} else {
		op->bytes = p->off;
	}
}

// The part of nngio_op_abort for what waits here: it stops waiting, with that result, at once.  Any thread.
void
stream_abort(nngio_op *op, int code)
{
	nngio_stream *s    = op->stream;
	finished      done = { .last = &done.first };
	bool          go   = false;

	pthread_mutex_lock(&s->lock);
	if (op->streaming) {
		if (op->piece != NULL) {
			leave_send(&s->out, op);
			flow_finish(&done, op, code);
		} else {
			flow_unlink(&s->in, op);
			flow_finish(&done, op, code);
			go = flow_serve(&s->in, &done); // the next one may need less
		}
	}
	pthread_mutex_unlock(&s->lock);
	flow_complete(&done);
	if (go) {
		start(&s->in);
	}
}

// Gives back what a receive had been given: its caller has gone.  Any thread; the operation's owner, or for it.
void
stream_put_back(nngio_op *op)
{
	nngio_stream *s    = op->stream;
	finished      done = { .last = &done.first };
	bool          go   = false;
	piece        *p    = NULL;

	pthread_mutex_lock(&s->lock);
	if (!op->streaming && (p = op->piece) != NULL) {
		op->piece = NULL;
		op->body  = NULL;
		op->len   = 0;
		if (atomic_load(&s->closed) == 0) {
			flow_insert(&s->in, p);
			p  = NULL;
			go = flow_serve(&s->in, &done);
		}
	}
	pthread_mutex_unlock(&s->lock);
	flow_complete(&done);
	piece_free(p);
	if (go) {
		start(&s->in);
	}
}

// Lets go of what an operation has here.  Called by its owner when it is idle.
void
stream_drop(nngio_op *op)
{
	piece_free(op->piece);
	op->piece = NULL;
}

// Waits for an operation that was begun here or in http.c.  Its result, or NNGIO_AGAIN as nngio_wait.
int
nngio_stream_wait(nngio_op *op)
{
	for (;;) {
		unsigned s  = OP_PENDING;
		int      ms = op->slice_ms;

		if (atomic_compare_exchange_strong(&op->state, &s, OP_WAITED)) {
			s = OP_WAITED;
		}
		if (s != OP_WAITED) {
			stay_if_ending();
			return (op->result);
		}
		if (nngio_forked()) {
			return (NNGIO_FORKED);
		}
		if (op->ms >= 0) {
			nng_time passed = op->ms > 0 ? nng_clock() - op->begun : 1;
			int      rest   = passed <= (nng_time) op->ms ? op->ms - (int) passed : -1;
			rest += rest < INT_MAX; // one more: the clock cuts them off
			if (rest == 0) {
				nngio_op_abort(op, NNG_ETIMEDOUT);
				ms = 20;
			} else if (ms < 0 || rest < ms) {
				ms = rest;
			}
		}
		if (!word_wait(&op->state, OP_WAITED, ms)) {
			stay_if_ending();
			return (NNGIO_AGAIN);
		}
	}
}

// The stream that an operation was given.  It stays the operation's too, until that is over or puts it back.
nngio_stream *
nngio_stream_given(nngio_op *op)
{
	return (op->piece != NULL ? op->piece->given : NULL);
}
