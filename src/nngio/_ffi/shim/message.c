// Boxes: the C half of a Python Message.

#include <stdlib.h>
#include <string.h>

#include "internal.h"

nngio_box *
nngio_box_new(void)
{
	nngio_box *box = calloc(1, sizeof(nngio_box));
	if (box != NULL) {
		box->refs = 1;
	}
	return (box);
}

void
box_hold(nngio_box *box)
{
	__atomic_fetch_add(&box->refs, 1, __ATOMIC_RELAXED);
}

void
box_rele(nngio_box *box)
{
	if (__atomic_fetch_sub(&box->refs, 1, __ATOMIC_ACQ_REL) == 1) {
		if (box->msg != NULL) {
			nng_msg_free(box->msg);
		}
		free(box);
	}
}

// Replaces the box's message by a new one of `len` zero bytes.
int
nngio_box_alloc(nngio_box *box, size_t len)
{
	nng_msg *msg;
	int      rv;

	if ((rv = nng_msg_alloc(&msg, len)) != 0) {
		return (rv);
	}
	if (box->msg != NULL) {
		nng_msg_free(box->msg);
	}
	box->msg = msg;
	return (0);
}

int
nngio_box_fill(nngio_box *box, const void *data, size_t len)
{
	int rv = nngio_box_alloc(box, len);
	if (rv == 0 && len != 0) {
		memcpy(nng_msg_body(box->msg), data, len);
	}
	return (rv);
}

int
nngio_box_copy(nngio_box *to, const nngio_box *from)
{
	nng_msg *msg;
	int      rv;

	if ((rv = nng_msg_dup(&msg, from->msg)) != 0) {
		return (rv);
	}
	nng_msg_set_pipe(msg, nng_msg_get_pipe(from->msg)); // dup does not, in every version
	if (to->msg != NULL) {
		nng_msg_free(to->msg);
	}
	to->msg = msg;
	return (0);
}

// The destructor of the box's Python object.  A forked child leaves everything as it is: the message
// may be half way through something on a thread that is no more.
void
nngio_box_free(nngio_box *box)
{
	if (box != NULL && !nngio_forked()) {
		box_rele(box);
	}
}
