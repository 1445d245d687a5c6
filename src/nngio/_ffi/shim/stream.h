// What the files of byte streams share.  How streams work is told in stream.c.

#ifndef NNGIO_STREAM_H
#define NNGIO_STREAM_H

#include "internal.h"

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

// Operations that a flow has finished with: completed when its lock is free, by whoever took it.
typedef struct {
	nngio_op *first, **last;
} finished;

// stream_life.c
void stream_list(nngio_stream *s);
nngio_stream *stream_new(enum stream_kind kind);
nngio_stream *stream_for(nngio_stream *endpoint);
int stream_enter_call(nngio_stream *s);

// stream_flow.c; under the lock of the stream, but for the pieces and flow_complete
piece *piece_new(size_t size);
void piece_free(piece *p);
void pieces_free(piece *p);
void flow_finish(finished *done, nngio_op *op, int result);
void flow_complete(finished *done);
void flow_unlink(flow *f, nngio_op *op);
void flow_pop(flow *f);
int flow_take(flow *f, nngio_op *op);
void flow_insert(flow *f, piece *p);
bool flow_serve(flow *f, finished *done);
bool flow_write_on(flow *f);
void flow_drop_outgoing(flow *f, finished *done, int result);
piece *flow_take_all(flow *f);

// Brackets each call into NNG: either closing sees the count, or the caller that it is closed.
static inline bool
stream_enter(nngio_stream *s)
{
	atomic_fetch_add(&s->inside, 1);
	if (atomic_load(&s->closed) != 0) {
		atomic_fetch_sub(&s->inside, 1);
		return (false);
	}
	return (true);
}

static inline void
stream_leave(nngio_stream *s)
{
	atomic_fetch_sub(&s->inside, 1);
}

#endif
