// The flows of byte streams: what has come in and what goes out, in pieces, and the operations that wait for it.
//
// All of it is called under the lock of the stream; NNG is not called here.  See stream.c.

#include <stdlib.h>
#include <string.h>

#include "stream.h"

#define LARGEST_READ ((size_t) 1 << 20) // a buffer for a receive that takes what there is

piece *
piece_new(size_t size)
{
	piece *p = size <= SIZE_MAX - sizeof(*p) ? malloc(sizeof(*p) + size) : NULL;

	if (p != NULL) {
		memset(p, 0, sizeof(*p));
		p->size = size;
	}
	return (p);
}

void
piece_free(piece *p)
{
	if (p != NULL && p->given != NULL) {
		stream_rele(p->given);
	}
	free(p);
}

void
pieces_free(piece *p)
{
	while (p != NULL) {
		piece *next = p->next;
		piece_free(p);
		p = next;
	}
}

void
flow_finish(finished *done, nngio_op *op, int result)
{
	op->streaming    = false;
	op->result       = result;
	op->pending_next = NULL;
	*done->last      = op;
	done->last       = &op->pending_next;
}

void
flow_complete(finished *done)
{
	nngio_op *op = done->first, *next;

	for (; op != NULL; op = next) {
		next = op->pending_next; // it may be used again as soon as it is complete
		op_complete(op, op->result);
	}
}

void
flow_unlink(flow *f, nngio_op *op)
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

void
flow_pop(flow *f)
{
	if ((f->first = f->first->next) == NULL) {
		f->last = NULL;
	}
}

// Gives a receive what has come in, which is as much as it needs.  NNG_ENOMEM leaves everything where it is.
int
flow_take(flow *f, nngio_op *op)
{
	piece *p = f->first;

	if (p->len >= op->least && p->len <= op->most) {
		flow_pop(f);
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
				flow_pop(f);
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
void
flow_insert(flow *f, piece *p)
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
	flow_insert(f, p);
	return (true);
}

// Serves receives that can be served.  True: the caller has to `start` the flow when it has let go of the lock.
bool
flow_serve(flow *f, finished *done)
{
	nngio_op *op;

	while ((op = f->waiting_first) != NULL) {
		int rv = f->error;
		if (f->held < op->least && f->filling != NULL && f->held + f->filling->len >= op->least &&
		    !split_filling(f)) {
			rv = NNG_ENOMEM;
		} else if (f->held >= op->least) {
			rv = flow_take(f, op);
		} else if (rv == 0) {
			if (f->busy) {
				return (false);
			}
			if (f->filling != NULL || make_room(f)) {
				return (f->busy = true);
			}
			rv = NNG_ENOMEM;
		}
		flow_unlink(f, op);
		flow_finish(done, op, rv);
	}
	return (false);
}

// Whether there is something to be written that NNG doesn't have; then as above.
bool
flow_write_on(flow *f)
{
	if (f->busy || f->error != 0 || f->first == NULL) {
		return (false);
	}
	return (f->busy = true);
}

// Ends all that goes out, but what NNG is still reading.
void
flow_drop_outgoing(flow *f, finished *done, int result)
{
	piece *kept = f->busy ? f->first : NULL, *p = f->first, *next;

	for (; p != NULL; p = next) {
		next = p->next;
		if (p->op != NULL) {
			p->op->piece = NULL;
			p->op->bytes = p->off;
			flow_finish(done, p->op, result);
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

piece *
flow_take_all(flow *f)
{
	piece *first = f->first;

	f->first = f->last = NULL;
	f->held  = 0;
	return (first);
}
