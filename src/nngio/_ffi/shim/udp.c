// Datagrams: NNG's nng_udp_*.
//
// Theory of operation.  Python knows a UDP socket by a number, so that what comes too late finds nothing.  One receive
// of its own is pending with NNG for as long as there is room, and fills a queue; a call takes its datagram from there.  So
// a call that is interrupted has nothing to give back, but what its operation was given and Python had not got hold of.  A send is a copy of what was given, and
// goes on whatever becomes of its caller.
//
// A call that has to wait does so on an operation that sleeps: it ends with its time, or when something has happened to the
// socket and `wake` aborts the sleep; the caller looks again.  It is in the socket's list of those that wait until it
// says that it is not, or is recycled (op_recycle), so that nobody is woken who sleeps for something else.
//
// The lock of a socket is held when NNG is called, but to close it: NNG's callbacks come on other threads, and without
// locks of NNG's.

#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "nngio_features.h"

#ifdef NNGIO_HAVE_nng_udp_open

#define LARGEST 65536 // bytes; no datagram has more

typedef struct sending {
	struct sending *next;
	nngio_udp      *udp;
	nng_aio        *aio;
	nng_sockaddr    to;
	uint64_t        ticket;
	int             result;
	bool            done, forgotten;
	char            data[];
} sending;

struct nngio_udp {
	nngio_udp       *next; // of all that are open
	uint32_t         id;
	atomic_uint      refs; // the list's, one per call, per operation that waits, per aio that NNG has
	pthread_mutex_t  lock;
	nng_udp         *udp;
	bool             closed;
	nng_aio         *aio; // of the receive
	bool             receiving;
	int              error; // of a receive, for the next call
	nng_sockaddr     from;
	nngio_datagram  *first, *last;
	uint32_t         count, most;
	sending         *sends;
	uint64_t         tickets;
	nngio_op        *waiting;
	char             buffer[LARGEST];
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static nngio_udp      *all;
static uint32_t        last_id;

static nngio_udp *
find(uint32_t id)
{
	nngio_udp *u;

	if (nngio_forked()) {
		return (NULL);
	}
	pthread_mutex_lock(&all_lock);
	for (u = all; u != NULL && u->id != id; u = u->next) {
	}
	if (u != NULL) {
		atomic_fetch_add(&u->refs, 1);
	}
	pthread_mutex_unlock(&all_lock);
	return (u);
}

static int
not_found(void)
{
	return (nngio_forked() ? NNGIO_FORKED : NNG_ECLOSED);
}

static void
rele(nngio_udp *u)
{
	nngio_datagram *d;

	if (atomic_fetch_sub(&u->refs, 1) != 1) {
		return;
	}
	while ((d = u->first) != NULL) {
		u->first = d->next;
		free(d);
	}
	if (u->aio != NULL) {
		nng_aio_reap(u->aio); // this may be its callback
	}
	pthread_mutex_destroy(&u->lock);
	free(u);
}

// Lets everybody who waits look again.  Called with the lock.
static void
wake(nngio_udp *u)
{
	nngio_op *op;

	while ((op = u->waiting) != NULL) {
		u->waiting    = op->udp_next;
		op->udp_waits = false;
		nngio_op_abort(op, NNG_ECANCELED);
	}
}

// Gives back what was taken, for the next call.  Called with the lock.
static void
put_back(nngio_udp *u, nngio_datagram *d)
{
	d->next = u->first;
	if (u->first == NULL) {
		u->last = d;
	}
	u->first = d;
	u->count++;
	wake(u);
}

// Takes the operation off the list of those that wait, and its datagram away: that is for the next call, if its caller
// has not said that it has been `taken`.  Called by the operation's owner, or for it.
void
nngio_udp_forget(nngio_op *op)
{
	nngio_udp      *u = op->udp;
	nngio_op      **link;
	nngio_datagram *d;

	if (u == NULL || nngio_forked()) {
		return;
	}
	pthread_mutex_lock(&u->lock);
	if (op->udp_waits) {
		for (link = &u->waiting; *link != op; link = &(*link)->udp_next) {
		}
		*link         = op->udp_next;
		op->udp_waits = false;
	}
	if ((d = op->datagram) != NULL && !op->taken) {
		put_back(u, d);
		d = NULL;
	}
	pthread_mutex_unlock(&u->lock);
	free(d);
	op->datagram = NULL;
	op->udp      = NULL;
	rele(u);
}

// Lets the operation sleep until something happens, or its time is over.  Called with the lock.
static int
wait(nngio_udp *u, nngio_op *op, int ms)
{
	int rv;

	if (op->udp != NULL) {
		return (NNGIO_BUSY);
	}
	if (ms == 0) {
		return (NNG_ETIMEDOUT);
	}
	if ((rv = nngio_submit_sleep(op, ms < 0 ? INT32_MAX : ms, -1)) != 0) {
		return (rv);
	}
	atomic_fetch_add(&u->refs, 1);
	op->udp       = u;
	op->udp_next  = u->waiting;
	op->udp_waits = true;
	u->waiting    = op;
	return (NNGIO_PENDING);
}

// Begins a receive, if there is room for what it brings.  Called with the lock.
static void
receive(nngio_udp *u)
{
	nng_iov iov = { .iov_buf = u->buffer, .iov_len = sizeof(u->buffer) };

	if (u->closed || u->receiving || u->error != 0 || u->count >= u->most) {
		return;
	}
	u->receiving = true;
	atomic_fetch_add(&u->refs, 1);
	u->from.s_family = NNG_AF_UNSPEC;
	nng_aio_set_timeout(u->aio, NNG_DURATION_INFINITE);
	nng_aio_set_iov(u->aio, 1, &iov);
	nng_aio_set_input(u->aio, 0, &u->from);
	nng_udp_recv(u->udp, u->aio);
}

static void
append(nngio_udp *u, nngio_datagram *d)
{
	d->next = NULL;
	if (u->first == NULL) {
		u->first = d;
	} else {
		u->last->next = d;
	}
	u->last = d;
	u->count++;
}

// The callback of the receive, on a thread of NNG's.
static void
received(void *arg)
{
	nngio_udp      *u   = arg;
	int             rv  = nng_aio_result(u->aio);
	size_t          len = nng_aio_count(u->aio);
	nngio_datagram *d   = NULL;

	pthread_mutex_lock(&u->lock);
	u->receiving = false;
	if (rv == 0 && (d = malloc(sizeof(*d) + len)) == NULL) {
		rv = NNG_ENOMEM;
	}
	if (d != NULL) {
		d->from = u->from;
		d->len  = len;
		memcpy(d->data, u->buffer, len);
		append(u, d);
	} else {
		u->error = rv;
	}
	receive(u);
	wake(u);
	pthread_mutex_unlock(&u->lock);
	rele(u);
}

uint32_t
nngio_udp_open(const nng_sockaddr *address, uint32_t most, int *error)
{
	nng_sockaddr sa = *address;
	nngio_udp   *u;

	if ((*error = nngio_init()) != 0) {
		return (0);
	}
	if ((u = calloc(1, sizeof(*u))) == NULL) {
		*error = NNG_ENOMEM;
		return (0);
	}
	atomic_init(&u->refs, 1);
	pthread_mutex_init(&u->lock, NULL);
	u->most = most;
	if ((*error = nng_aio_alloc(&u->aio, received, u)) != 0 || (*error = nng_udp_open(&u->udp, &sa)) != 0) {
		u->closed = true;
		rele(u);
		return (0);
	}
	pthread_mutex_lock(&all_lock);
	u->id   = ++last_id;
	u->next = all;
	all     = u;
	pthread_mutex_unlock(&all_lock);
	pthread_mutex_lock(&u->lock);
	receive(u);
	pthread_mutex_unlock(&u->lock);
	return (u->id);
}

// Calls that wait end with NNG_ECLOSED; datagrams that wait to be received are dropped.  Any thread, but none of NNG's.
int
nngio_udp_close(uint32_t id)
{
	nngio_udp **link, *u;
	sending   **at, *s, *done = NULL;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	pthread_mutex_lock(&all_lock);
	for (link = &all; (u = *link) != NULL && u->id != id; link = &u->next) {
	}
	if (u != NULL) {
		*link = u->next;
	}
	pthread_mutex_unlock(&all_lock);
	if (u == NULL) {
		return (NNG_ECLOSED);
	}
	pthread_mutex_lock(&u->lock);
	u->closed = true;
	for (at = &u->sends; (s = *at) != NULL;) { // nobody finds them any more
		if (s->done) {
			*at     = s->next;
			s->next = done;
			done    = s;
		} else {
			s->forgotten = true;
			at           = &s->next;
		}
	}
	pthread_mutex_unlock(&u->lock);
	while ((s = done) != NULL) {
		done = s->next;
		nng_aio_free(s->aio);
		free(s);
	}
	nng_udp_close(u->udp); // ends what NNG has
	pthread_mutex_lock(&u->lock);
	wake(u);
	pthread_mutex_unlock(&u->lock);
	rele(u);
	return (0);
}

// Gives the operation the first datagram, or lets it wait for one: NNGIO_PENDING.  To be called again when that has ended.
int
nngio_udp_recv(uint32_t id, nngio_op *op, int ms)
{
	nngio_udp *u = find(id);
	int        rv;

	if (u == NULL) {
		return (not_found());
	}
	nngio_udp_forget(op);
	op->taken = false;
	pthread_mutex_lock(&u->lock);
	if (u->closed) {
		rv = NNG_ECLOSED;
	} else if ((op->datagram = u->first) != NULL) {
		u->first = op->datagram->next;
		u->count--;
		atomic_fetch_add(&u->refs, 1);
		op->udp  = u;
		op->kind = NNGIO_SLEEP; // not nothing, so that it is abandoned
		rv       = 0;
	} else if ((rv = u->error) != 0) {
		u->error = 0;
	} else {
		rv = wait(u, op, ms);
	}
	receive(u);
	pthread_mutex_unlock(&u->lock);
	rele(u);
	return (rv);
}

// The callback of a send, on a thread of NNG's.
static void
sent(void *arg)
{
	sending   *s = arg;
	nngio_udp *u = s->udp;
	sending  **link;

	pthread_mutex_lock(&u->lock);
	s->result = nng_aio_result(s->aio);
	s->done   = true;
	if (s->forgotten) {
		for (link = &u->sends; *link != s; link = &(*link)->next) {
		}
		*link = s->next;
		nng_aio_reap(s->aio);
		free(s);
	} else {
		wake(u);
	}
	pthread_mutex_unlock(&u->lock);
	rele(u);
}

// Begins a send; nngio_udp_sent tells what has become of it, and has to be asked or told to forget it.
int
nngio_udp_send(uint32_t id, const void *data, size_t len, const nng_sockaddr *to, uint64_t *ticket)
{
	nngio_udp *u = find(id);
	sending   *s;
	int        rv;

	if (u == NULL) {
		return (not_found());
	}
	if ((s = calloc(1, sizeof(*s) + len)) == NULL || nng_aio_alloc(&s->aio, sent, s) != 0) {
		free(s);
		rele(u);
		return (NNG_ENOMEM);
	}
	memcpy(s->data, data, len);
	s->to  = *to;
	s->udp = u;
	nng_iov iov = { .iov_buf = s->data, .iov_len = len };
	pthread_mutex_lock(&u->lock);
	if ((rv = u->closed ? NNG_ECLOSED : 0) == 0) {
		*ticket = s->ticket = ++u->tickets;
		s->next  = u->sends;
		u->sends = s;
		atomic_fetch_add(&u->refs, 1);
		nng_aio_set_timeout(s->aio, NNG_DURATION_INFINITE);
		nng_aio_set_iov(s->aio, 1, &iov);
		nng_aio_set_input(s->aio, 0, &s->to);
		nng_udp_send(u->udp, s->aio);
	}
	pthread_mutex_unlock(&u->lock);
	if (rv != 0) {
		nng_aio_free(s->aio);
		free(s);
	}
	rele(u);
	return (rv);
}

// The result of a send, or NNGIO_PENDING, like nngio_udp_recv; without an operation, nobody wants to know it any more.
int
nngio_udp_sent(uint32_t id, nngio_op *op, uint64_t ticket, int ms)
{
	nngio_udp *u = find(id);
	sending  **link, *s;
	int        rv;

	if (u == NULL) {
		return (not_found());
	}
	if (op != NULL) {
		nngio_udp_forget(op); // it may still have a datagram that was taken
	}
	pthread_mutex_lock(&u->lock);
	for (link = &u->sends; (s = *link) != NULL && s->ticket != ticket; link = &s->next) {
	}
	if (s == NULL) {
		rv = NNG_ECLOSED;
	} else if (s->done) {
		*link = s->next;
		rv    = s->result;
	} else if (op == NULL) {
		s->forgotten = true;
		s            = NULL;
		rv           = 0;
	} else {
		s  = NULL;
		rv = u->closed ? NNG_ECLOSED : wait(u, op, ms);
	}
	pthread_mutex_unlock(&u->lock);
	if (s != NULL) {
		nng_aio_free(s->aio); // waits for the callback, whose end has begun
		free(s);
	}
	rele(u);
	return (rv);
}

// Calls one of NNG's functions that finish at once: the address that it is bound to; joining a group, or leaving it.
static int
at_once(uint32_t id, nng_sockaddr *sa, int what)
{
	nngio_udp *u = find(id);
	int        rv;

	if (u == NULL) {
		return (not_found());
	}
	pthread_mutex_lock(&u->lock);
	rv = u->closed ? NNG_ECLOSED : what < 0 ? nng_udp_sockname(u->udp, sa) : nng_udp_multicast_membership(u->udp, sa, what == 1);
	pthread_mutex_unlock(&u->lock);
	rele(u);
	return (rv);
}

#else // an NNG that has none

uint32_t
nngio_udp_open(const nng_sockaddr *address, uint32_t most, int *error)
{
	*error = NNG_ENOTSUP;
	return (0);
}

int
nngio_udp_close(uint32_t id)
{
	return (NNG_ECLOSED);
}

int
nngio_udp_recv(uint32_t id, nngio_op *op, int ms)
{
	return (NNG_ECLOSED);
}

int
nngio_udp_send(uint32_t id, const void *data, size_t len, const nng_sockaddr *to, uint64_t *ticket)
{
	return (NNG_ECLOSED);
}

int
nngio_udp_sent(uint32_t id, nngio_op *op, uint64_t ticket, int ms)
{
	return (NNG_ECLOSED);
}

void
nngio_udp_forget(nngio_op *op)
{
}

static int
at_once(uint32_t id, nng_sockaddr *sa, int what)
{
	return (NNG_ECLOSED);
}

#endif

int
nngio_udp_address(uint32_t id, nng_sockaddr *sa)
{
	return (at_once(id, sa, -1));
}

int
nngio_udp_member(uint32_t id, const nng_sockaddr *group, bool join)
{
	nng_sockaddr sa = *group;
	return (at_once(id, &sa, join ? 1 : 0));
}
