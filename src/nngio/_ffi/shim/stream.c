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

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#define LARGEST_STEP ((size_t) 1 << 30) // what NNG is given at a time: releases before 1.12 count in an int
#define LARGEST_READ ((size_t) 1 << 20) // a buffer for a receive that takes what there is
#define LARGEST_TEXT 32768              // of a text's frame: NNG would cut one in the middle of a character
#define LOOK_MS 1000                    // see start_receive

enum stream_kind { DIALER, LISTENER, STREAM };

struct piece {
	piece        *next;
	uint64_t      place; // of what came in: that of its first byte
	size_t        off, len, size; // where it begins, how much it is, and the room that there is for all
	nngio_stream *given; // what was accepted, in place of bytes: the piece's
	nngio_op     *op;    // of what goes out: who waits for it, or NULL
	bool          all;   // it does so until all is written
	char          data[];
};

typedef struct {
	nngio_stream *stream;
	nngio_op     *io;   // its aio is NNG's while `busy`
	bool          busy;
	bool          shut; // NNG has said that it has ended: what it says the second time counts
	int           error; // what it has ended with
	piece        *first, *last;
	size_t        held;  // of what came in: all bytes of these pieces
	piece        *filling; // what NNG is to fill
	uint64_t      place;
	nngio_op     *waiting_first, *waiting_last; // receives
} flow;

struct nngio_stream {
	atomic_uint      refs; // Python's, one per operation that may put something back, one per flow that is busy
	atomic_uint      inside;
	atomic_int       closed; // 0 open, 1 closing, 2 closed
	enum stream_kind kind;
	bool             tls, ws, text;
	void            *c; // nng_stream, nng_stream_dialer or nng_stream_listener
	pthread_mutex_t  lock;
	flow             in, out;
	nng_aio         *fresh; // of a websocket: what replaces that of `in`, see retire_reading
	nngio_stream    *open_next, *open_prev;
};

static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static nngio_stream   *open_first;

static void
list_open(nngio_stream *s)
{
	pthread_mutex_lock(&open_lock);
	if ((s->open_next = open_first) != NULL) {
		open_first->open_prev = s;
	}
	open_first = s;
	pthread_mutex_unlock(&open_lock);
}

static void
unlist_open(nngio_stream *s)
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
static nngio_stream *
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
static nngio_stream *
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
piece_free(piece *p)
{
	if (p != NULL && p->given != NULL) {
		stream_rele(p->given);
	}
	free(p);
}

static void
pieces_free(piece *p)
{
	while (p != NULL) {
		piece *next = p->next;
		piece_free(p);
		p = next;
	}
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

// Brackets each call into NNG: either closing sees the count, or the caller that it is closed.
static bool
enter(nngio_stream *s)
{
	atomic_fetch_add(&s->inside, 1);
	if (atomic_load(&s->closed) != 0) {
		atomic_fetch_sub(&s->inside, 1);
		return (false);
	}
	return (true);
}

static void
leave(nngio_stream *s)
{
	atomic_fetch_sub(&s->inside, 1);
}

// The same for a call of Python's.
static int
enter_call(nngio_stream *s)
{
	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!enter(s)) {
		stay_if_ending();
		return (NNG_ECLOSED);
	}
	return (0);
}

// Operations that a flow has finished with: completed when its lock is free, by whoever took it.
typedef struct {
	nngio_op *first, **last;
} finished;

static void
finish(finished *done, nngio_op *op, int result)
{
	op->streaming    = false;
	op->result       = result;
	op->pending_next = NULL;
	*done->last      = op;
	done->last       = &op->pending_next;
}

static void
complete(finished *done)
{
	nngio_op *op = done->first, *next;

	for (; op != NULL; op = next) {
		next = op->pending_next; // it may be used again as soon as it is complete
		op_complete(op, op->result);
	}
}

static void
unlink_waiting(flow *f, nngio_op *op)
{
	if (op->pending_prev != NULL) {
		op->pending_prev->pending_next = op->pending_next;
	} else {
		f->waiting_first = op->pending_next;
	}
	if (op->pending_next != NULL) {
		op->pending_next->pending_prev = op->pending_prev;
	} else {
		f->waiting_last = op->pending_prev;
	}
	op->pending_next = op->pending_prev = NULL;
}

static piece *
piece_new(size_t size)
{
	piece *p = size <= SIZE_MAX - sizeof(*p) ? malloc(sizeof(*p) + size) : NULL;

	if (p != NULL) {
		memset(p, 0, sizeof(*p));
		p->size = size;
	}
	return (p);
}

static void
pop_first(flow *f)
{
	if ((f->first = f->first->next) == NULL) {
		f->last = NULL;
	}
}

// Gives a receive what has come in, which is as much as it needs.  NNG_ENOMEM leaves everything where it is.
static int
take(flow *f, nngio_op *op)
{
	piece *p = f->first;

	if (p->len >= op->least && p->len <= op->most) {
		pop_first(f);
	} else {
		size_t n = p->len > op->most ? op->most : op->least;
		if ((p = piece_new(n)) == NULL) {
			return (NNG_ENOMEM);
		}
		p->place = f->first->place;
		while (p->len < n) {
			piece *from = f->first;
			size_t part = from->len < n - p->len ? from->len : n - p->len;
			memcpy(p->data + p->len, from->data + from->off, part);
			p->len += part;
			from->off += part;
			from->len -= part;
			from->place += part;
			if (from->len == 0) {
				pop_first(f);
				piece_free(from);
			}
		}
	}
	f->held -= p->len;
	p->next   = NULL;
	op->piece = p;
	op->body  = p->data + p->off;
	op->len   = p->len;
	return (0);
}

// Puts a piece where it belongs, before what came after it.
static void
insert(flow *f, piece *p)
{
	piece **link = &f->first;

	while (*link != NULL && (*link)->place < p->place) {
		link = &(*link)->next;
	}
	if ((p->next = *link) == NULL) {
		f->last = p;
	}
	*link = p;
	f->held += p->len;
}

// What NNG is to fill for the first receive that waits.
static bool
make_room(flow *f)
{
	nngio_op *op   = f->waiting_first;
	size_t    room = op->most - f->held;

	if (f->stream->kind != STREAM) {
		if ((f->filling = piece_new(0)) != NULL && (f->filling->given = stream_for(f->stream)) == NULL) {
			free(f->filling);
			f->filling = NULL;
		}
	} else {
		if (op->least == 1 && room > LARGEST_READ) {
			room = LARGEST_READ;
		}
		f->filling = piece_new(room);
	}
	if (f->filling == NULL) {
		return (false);
	}
	f->filling->place = f->place;
	return (true);
}

// Makes a piece of what NNG has brought into the one that it is still filling.
static bool
split_filling(flow *f)
{
	piece *from = f->filling;
	piece *p    = piece_new(from->len);

	if (p == NULL) {
		return (false);
	}
	memcpy(p->data, from->data + from->off, from->len);
	p->len   = from->len;
	p->place = from->place;
	from->off += from->len;
	from->place += from->len;
	from->len = 0;
	insert(f, p);
	return (true);
}

// Serves receives that can be served.  True: the caller has to `start` the flow when it has let go of the lock.
static bool
serve(flow *f, finished *done)
{
	nngio_op *op;

	while ((op = f->waiting_first) != NULL) {
		int rv = f->error;
		if (f->held < op->least && f->filling != NULL && f->held + f->filling->len >= op->least &&
		    !split_filling(f)) {
			rv = NNG_ENOMEM;
		} else if (f->held >= op->least) {
			rv = take(f, op);
		} else if (rv == 0) {
			if (f->busy) {
				return (false);
			}
			if (f->filling != NULL || make_room(f)) {
				return (f->busy = true);
			}
			rv = NNG_ENOMEM;
		}
		unlink_waiting(f, op);
		finish(done, op, rv);
	}
	return (false);
}

// Whether there is something to be written that NNG doesn't have; then as above.
static bool
write_on(flow *f)
{
	if (f->busy || f->error != 0 || f->first == NULL) {
		return (false);
	}
	return (f->busy = true);
}

// Ends all that goes out, but what NNG is still reading.
static void
drop_outgoing(flow *f, finished *done, int result)
{
	piece *kept = f->busy ? f->first : NULL, *p = f->first, *next;

	for (; p != NULL; p = next) {
		next = p->next;
		if (p->op != NULL) {
			p->op->piece = NULL;
			p->op->bytes = p->off;
			finish(done, p->op, result);
			p->op = NULL;
		}
		if (p != kept) {
			piece_free(p);
		}
	}
	f->first = f->last = kept;
	if (kept != NULL) {
		kept->next = NULL;
	}
}

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
	if (!enter(s)) {
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
	leave(s);
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
			insert(f, p);
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
		list_open(given);
		insert(f, f->filling);
		f->filling = NULL;
	} else if (op != NULL) {
		unlink_waiting(f, op);
		finish(done, op, rv);
	}
}

// The same of what goes out.
static void
sent(nngio_stream *s, flow *f, int rv, size_t n, finished *done)
{
	piece *p = f->first;

	if (rv != 0) {
		f->error = writing_error(s, rv);
		drop_outgoing(f, done, f->error);
		return;
	}
	p->off += n;
	if (p->off == p->len || !p->all) {
		pop_first(f);
		if (p->op != NULL) {
			p->op->piece = NULL;
			p->op->bytes = p->off;
			finish(done, p->op, 0);
		}
		piece_free(p);
	}
	if (f->error != 0) {
		drop_outgoing(f, done, f->error); // the peer's end was heard while this was going out
	}
}

static piece *
take_all(flow *f)
{
	piece *first = f->first;

	f->first = f->last = NULL;
	f->held  = 0;
	return (first);
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
		drop_outgoing(&s->out, &done, NNG_ECLOSED);
		unread = take_all(&s->in);
	}
	again = f == &s->in ? serve(f, &done) : write_on(f);
	pthread_mutex_unlock(&s->lock);
	complete(&done);
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

	if ((rv = enter_call(s)) != 0) {
		return (rv);
	}
	begin(op, s, ms);
	op->least = least;
	op->most  = most;
	pthread_mutex_lock(&s->lock);
	if (f->waiting_first == NULL && (f->held >= least || f->error != 0)) {
		rv = op->result = f->held >= least ? take(f, op) : f->error;
		pthread_mutex_unlock(&s->lock);
		leave(s);
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
	go              = serve(f, &done);
	pthread_mutex_unlock(&s->lock);
	complete(&done);
	if (go) {
		start(f);
	}
	leave(s);
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

	if ((rv = enter_call(s)) != 0) {
		return (rv);
	}
	begin(op, s, ms);
	if ((p = piece_new(len)) == NULL) {
		leave(s);
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
		leave(s);
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
	go      = write_on(f);
	pthread_mutex_unlock(&s->lock);
	if (go) {
		start(f);
	}
	leave(s);
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
			finish(&done, op, code);
		} else {
			unlink_waiting(&s->in, op);
			finish(&done, op, code);
			go = serve(&s->in, &done); // the next one may need less
		}
	}
	pthread_mutex_unlock(&s->lock);
	complete(&done);
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
			insert(&s->in, p);
			p  = NULL;
			go = serve(&s->in, &done);
		}
	}
	pthread_mutex_unlock(&s->lock);
	complete(&done);
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

static nngio_stream *
endpoint_new(enum stream_kind kind, const char *url, int *error)
{
	nngio_stream *s = NULL;

	if ((*error = nngio_init()) != 0) {
		return (NULL);
	}
	if ((s = stream_new(kind)) == NULL) {
		*error = NNG_ENOMEM;
		return (NULL);
	}
	*error = kind == DIALER ? nng_stream_dialer_alloc((nng_stream_dialer **) &s->c, url) :
	                          nng_stream_listener_alloc((nng_stream_listener **) &s->c, url);
	if (*error != 0) {
		atomic_store(&s->closed, 2);
		stream_rele(s);
		return (NULL);
	}
	s->tls = strncmp(url, "tls", 3) == 0 || strncmp(url, "TLS", 3) == 0;
	s->ws  = strncmp(url, "ws", 2) == 0 || strncmp(url, "WS", 2) == 0;
	list_open(s);
	return (s);
}

nngio_stream *
nngio_stream_dialer(const char *url, int *error)
{
	return (endpoint_new(DIALER, url, error));
}

nngio_stream *
nngio_stream_listener(const char *url, int *error)
{
	return (endpoint_new(LISTENER, url, error));
}

int
nngio_stream_listen(nngio_stream *s)
{
	int rv;

	if ((rv = enter_call(s)) == 0) {
		rv = nng_stream_listener_listen(s->c);
		leave(s);
	}
	return (rv);
}

// Options, whose size has to be exact.
int
nngio_stream_get(nngio_stream *s, const char *name, void *value, size_t *size)
{
	int rv;

	if ((rv = enter_call(s)) != 0) {
		return (rv);
	}
	switch (s->kind) {
	case DIALER:
		rv = nng_stream_dialer_get(s->c, name, value, size);
		break;
	case LISTENER:
		rv = nng_stream_listener_get(s->c, name, value, size);
		break;
	default:
		rv = nng_stream_get(s->c, name, value, size);
		break;
	}
	leave(s);
	return (rv);
}

// One that is text, to be freed with nng_strfree.
int
nngio_stream_get_string(nngio_stream *s, const char *name, char **value)
{
	int rv;

	if ((rv = enter_call(s)) != 0) {
		return (rv);
	}
	switch (s->kind) {
	case DIALER:
		rv = nng_stream_dialer_get_string(s->c, name, value);
		break;
	case LISTENER:
		rv = nng_stream_listener_get_string(s->c, name, value);
		break;
	default:
		rv = nng_stream_get_string(s->c, name, value);
		break;
	}
	leave(s);
	return (rv);
}

// Text is given with its NUL.
int
nngio_stream_set(nngio_stream *s, const char *name, const void *value, size_t size)
{
	int rv;

	if ((rv = enter_call(s)) != 0) {
		return (rv);
	}
	switch (s->kind) {
	case DIALER:
		rv = nng_stream_dialer_set(s->c, name, value, size);
		break;
	case LISTENER:
		rv = nng_stream_listener_set(s->c, name, value, size);
		break;
	default:
		rv = nng_stream_set(s->c, name, value, size);
		break;
	}
	leave(s);
	return (rv);
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
	unlist_open(s);
	pthread_mutex_lock(&s->lock);
	s->in.error = s->out.error = NNG_ECLOSED;
	while ((op = s->in.waiting_first) != NULL) {
		unlink_waiting(&s->in, op);
		finish(&done, op, NNG_ECLOSED);
	}
	drop_outgoing(&s->out, &done, NNG_ECLOSED);
	unread = take_all(&s->in);
	atomic_store(&s->closed, 2);
	pthread_mutex_unlock(&s->lock);
	complete(&done);
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
