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

// Empties the box.  NULL when another thread was faster, or looks at the message.
nng_msg *
box_take(nngio_box *box)
{
	nng_msg *msg = __atomic_exchange_n(&box->msg, NULL, __ATOMIC_SEQ_CST);

	if (msg != NULL && __atomic_load_n(&box->views, __ATOMIC_SEQ_CST) != 0) {
		__atomic_store_n(&box->msg, msg, __ATOMIC_SEQ_CST);
		return (NULL);
	}
	return (msg);
}

// The body, for a view: while there is one, the message stays in the box.  NULL when there is no message.
void *
nngio_box_view(nngio_box *box, size_t *size)
{
	static char nothing;
	nng_msg    *msg;

	if (nngio_forked()) {
		return (NULL);
	}
	__atomic_fetch_add(&box->views, 1, __ATOMIC_SEQ_CST);
	if ((msg = __atomic_load_n(&box->msg, __ATOMIC_SEQ_CST)) == NULL) {
		nngio_box_unview(box);
		return (NULL);
	}
	*size = nng_msg_len(msg);
	return (*size != 0 ? nng_msg_body(msg) : &nothing);
}

void
nngio_box_unview(nngio_box *box)
{
	__atomic_fetch_sub(&box->views, 1, __ATOMIC_SEQ_CST);
}

#define ROOM 32
#define LONGEST 64
#define HOPS_IN_ROOM 8 // each is four bytes, and so is the request's number

// For an inproc peer NNG moves a message's header in front of its body.  A new message has room for 32
// bytes there.  A longer header makes NNG write behind the end of the body (1.5.2) or over its beginning
// (1.12), so its message is copied to one that has the room.  Those who send one are raw sockets, whose
// header is there already, and sockets that answer what has come through more than seven devices.
int
message_make_room(nngio_handle *h, nng_msg **msg)
{
	nng_msg *roomy;
	size_t   len = nng_msg_len(*msg);
	size_t   header = nng_msg_header_len(*msg), room = header;
	int      rv;

	if ((h->flags & NNGIO_SEND_NEEDS_ONE) != 0 && atomic_load(&(h->parent != NULL ? h->parent : h)->far)) {
		room = LONGEST;
	}
	if (room <= ROOM) {
		return (0);
	}
	if ((rv = nng_msg_alloc(&roomy, room + len)) != 0) {
		return (rv);
	}
	nng_msg_trim(roomy, room);
	memcpy(nng_msg_body(roomy), nng_msg_body(*msg), len);
	nng_msg_header_append(roomy, nng_msg_header(*msg), header);
	nng_msg_set_pipe(roomy, nng_msg_get_pipe(*msg));
	nng_msg_free(*msg);
	*msg = roomy;
	return (0);
}

// Tells how many hops a message may have made that the socket receives.
void
nngio_handle_set_hops(nngio_handle *h, int hops)
{
	atomic_store(&h->far, hops > HOPS_IN_ROOM);
}

// Replaces the box's message by a new one of `len` zero bytes.  NNG 1.12.4 says NNG_EMSGSIZE of a size
// that is larger than any memory, others NNG_ENOMEM; here it is a lack of memory with all of them, as
// NNG_EMSGSIZE tells that a peer or a transport has a limit.
int
nngio_box_alloc(nngio_box *box, size_t len)
{
	nng_msg *msg;
	int      rv;

	if ((rv = nng_msg_alloc(&msg, len)) != 0) {
		return (rv == NNG_EMSGSIZE ? NNG_ENOMEM : rv);
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
