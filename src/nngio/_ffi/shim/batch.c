// Many messages in one call.
//
// A receive that has its first message takes what else has arrived, without waiting, and keeps all of it in the
// operation, each message with its turn: an operation that is abandoned parks them in their order, as it would
// one.  A batch ends early when its bodies are long, so that the copies of a batch don't hold up an event loop.

#include <stdlib.h>

#include "internal.h"

// Adds the message that the operation holds to its batch; the operation's spare takes it.
static void
batch_add(nngio_op *op)
{
	parked *node = op->spare;

	op->spare  = NULL;
	node->msg  = op->msg;
	node->turn = op->turn;
	node->next = NULL;
	*(op->batch_first != NULL ? &op->batch_last->next : &op->batch_first) = node;
	op->batch_last                                                        = node;
	op->count++;
	op->bytes += op->len;
	op->msg  = NULL;
	op->body = NULL;
	op->len  = 0;
}

// Called by the owner of an operation that has received a message: makes it a batch of `max` messages at most,
// whose number is op->count and whose bodies' size is op->bytes.
void
nngio_recv_more(nngio_op *op, int max)
{
	nngio_handle *h = op->handle;
	nng_aio      *aio = NULL;

	if (nngio_forked()) {
		return;
	}
	batch_add(op);
	if (h->reader == NULL && ((h->flags & NNGIO_TRY_RECV) == 0 || (aio = aio_to_try(op)) == NULL)) {
		return;
	}
	if (handle_enter(h) != 0) {
		return;
	}
	handle_settle(h);
	while (op->count < max && op->bytes < NNGIO_BATCH_BYTES &&
	    (op->spare = malloc(sizeof(*op->spare))) != NULL) {
		op_next_turn(op);
		if (!handle_unpark(h, op) && (aio == NULL || op_try_recv(op, h, aio) != 0)) {
			break;
		}
		batch_add(op);
	}
	reader_go_on(h);
	handle_leave(h);
}

// As nngio_begin_recv, and when that finds a message, goes on as nngio_recv_more.
int
nngio_begin_recv_many(nngio_op *op, nngio_handle *h, int max, int ms)
{
	int rv = nngio_begin_recv(op, h, ms);

	if (rv == 0) {
		nngio_recv_more(op, max);
	}
	return (rv);
}

// As nngio_recv, likewise.
int
nngio_recv_many(nngio_op *op, nngio_handle *h, int max, int ms)
{
	int rv = nngio_recv(op, h, ms);

	if (rv == 0) {
		nngio_recv_more(op, max);
	}
	return (rv);
}

int
nngio_batch_count(nngio_op *op)
{
	return (op->count);
}

// The messages of a batch, which stay the operation's.
void
nngio_batch_list(nngio_op *op, nng_msg **msgs)
{
	for (parked *node = op->batch_first; node != NULL; node = node->next) {
		*msgs++ = node->msg;
	}
}

// Hands the messages of a batch to as many boxes.
void
nngio_batch_take(nngio_op *op, nngio_box **boxes)
{
	for (parked *node = op->batch_first; node != NULL; node = node->next) {
		(*boxes++)->msg = node->msg;
		node->msg       = NULL;
	}
}

// Undoes that, before the operation is abandoned.
void
nngio_batch_return(nngio_op *op, nngio_box **boxes)
{
	for (parked *node = op->batch_first; node != NULL; node = node->next, boxes++) {
		if (node->msg == NULL) {
			node->msg     = (*boxes)->msg;
			(*boxes)->msg = NULL;
		}
	}
}

static parked *
batch_clear(nngio_op *op)
{
	parked *first = op->batch_first;

	op->batch_first = op->batch_last = NULL;
	op->count                        = 0;
	op->bytes                        = 0;
	return (first);
}

// Parks the messages of a batch, for the handle's next receives.
void
batch_park(nngio_op *op)
{
	for (parked *next, *node = batch_clear(op); node != NULL; node = next) {
		next = node->next;
		if (node->msg != NULL) {
			handle_park(op->handle, node);
		} else {
			free(node);
		}
	}
}

void
batch_drop(nngio_op *op)
{
	for (parked *next, *node = batch_clear(op); node != NULL; node = next) {
		next = node->next;
		if (node->msg != NULL) {
			nng_msg_free(node->msg);
		}
		free(node);
	}
}

// Sends copies of `n` bodies one after the other, as nngio_begin_send does each, until one does not succeed at
// once: its code is returned, and op->count is the number of those before.
int
nngio_begin_send_many(nngio_op *op, nngio_handle *h, const void **data, const size_t *len, int n, int ms)
{
	int rv = 0, sent = 0;

	while (sent < n && (rv = nngio_begin_send(op, h, data[sent], len[sent], ms)) == 0) {
		sent++;
	}
	op->count = sent;
	return (rv);
}
