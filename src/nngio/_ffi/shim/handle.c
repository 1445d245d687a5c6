// Sockets and contexts: opening and closing.
//
// NNG lets nobody submit to a socket while it closes: the operation is orphaned, or worse.  So each
// call into NNG on a handle is counted while it runs, close first refuses new ones and waits for the
// count to reach zero, ends the operations that are pending (see pending.c), and closes a socket's
// contexts before it.

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

// The sockets that are open, for the exit; each is held.
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static nngio_handle   *open_first;

static nngio_handle *
handle_new(uint32_t flags, nngio_handle *parent)
{
	nngio_handle *h = calloc(1, sizeof(*h));
	if (h != NULL) {
		atomic_init(&h->refs, 1);
		h->flags  = flags;
		h->parent = parent;
		pthread_mutex_init(&h->gate, NULL);
		pthread_mutex_init(&h->lock, NULL);
	}
	return (h);
}

void
handle_hold(nngio_handle *h)
{
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
}

void
handle_rele(nngio_handle *h)
{
	if (atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1) {
		return;
	}
	handle_unpark_all(h);
	reader_free(h);
	pipes_free(h);
	retired_leave(h); // this may be the callback of one of them
	pthread_mutex_destroy(&h->lock);
	pthread_mutex_destroy(&h->gate);
	if (h->parent != NULL) {
		handle_rele(h->parent);
	}
	free(h);
}

// Brackets each call that gives NNG an operation on this handle.  Both sides are sequentially
// consistent: either close sees the count, or the caller sees that it is closed.
int
handle_enter(nngio_handle *h)
{
	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (!handle_try_enter(h)) {
		stay_if_ending();
		return (NNG_ECLOSED);
	}
	return (0);
}

// The same for any thread, NNG's included, and for aborts: what an abort in progress refers to is gone
// when NNG has closed the handle, and closing ends the operation anyway.
bool
handle_try_enter(nngio_handle *h)
{
	atomic_fetch_add(&h->inside, 1);
	if (atomic_load(&h->closed) != 0) {
		atomic_fetch_sub(&h->inside, 1);
		return (false);
	}
	return (true);
}

void
handle_leave(nngio_handle *h)
{
	atomic_fetch_sub(&h->inside, 1);
}

// Waits for something that takes a thread microseconds: a submission to end, or another closer.
void
pause_briefly(int turn)
{
	if (turn < 100) {
		sched_yield();
	} else {
		struct timespec ts = { .tv_nsec = 100000 };
		nanosleep(&ts, NULL);
	}
}

nngio_handle *
nngio_socket_open(int (*open)(nng_socket *), uint32_t flags, int *error)
{
	nng_socket    s = NNG_SOCKET_INITIALIZER;
	nngio_handle *h = NULL;

	if ((*error = nngio_init()) != 0 || (*error = open(&s)) != 0) {
		return (NULL);
	}
	if ((h = handle_new(flags, NULL)) != NULL) {
		h->id = s.id;
	}
	if (h == NULL || (*error = pipes_open(h)) != 0) {
		nng_close(s);
		if (h != NULL) {
			handle_rele(h);
		}
		*error = NNG_ENOMEM;
		return (NULL);
	}
	handle_hold(h); // the list's
	pthread_mutex_lock(&open_lock);
	h->open_next = open_first;
	if (open_first != NULL) {
		open_first->open_prev = h;
	}
	open_first = h;
	pthread_mutex_unlock(&open_lock);
	return (h);
}

// Takes a socket that is being closed off the list.
static void
unlist_open(nngio_handle *h)
{
	pthread_mutex_lock(&open_lock);
	*(h->open_prev != NULL ? &h->open_prev->open_next : &open_first) = h->open_next;
	if (h->open_next != NULL) {
		h->open_next->open_prev = h->open_prev;
	}
	pthread_mutex_unlock(&open_lock);
	handle_rele(h);
}

// Closes all sockets that are open.  Called at exit, when nobody opens any more.
void
handles_close(void)
{
	nngio_handle *h;

	for (;;) {
		pthread_mutex_lock(&open_lock);
		if ((h = open_first) != NULL) {
			handle_hold(h);
		}
		pthread_mutex_unlock(&open_lock);
		if (h == NULL) {
			return;
		}
		nngio_handle_close(h);
		handle_rele(h);
	}
}

nngio_handle *
nngio_context_open(nngio_handle *socket, uint32_t flags, int *error)
{
	nng_socket    s = { .id = socket->id };
	nng_ctx       c = NNG_CTX_INITIALIZER;
	nngio_handle *h;

	if ((h = handle_new(flags | NNGIO_CTX, NULL)) == NULL) {
		*error = NNG_ENOMEM;
		return (NULL);
	}
	if ((*error = handle_enter(socket)) != 0) {
		handle_rele(h);
		return (NULL);
	}
	if ((*error = nng_ctx_open(&c, s)) == 0) {
		h->id     = c.id;
		h->parent = socket;
		handle_hold(socket);
		handle_hold(h); // the list's
		pthread_mutex_lock(&socket->lock);
		h->sibling       = socket->contexts;
		socket->contexts = h;
		pthread_mutex_unlock(&socket->lock);
	}
	handle_leave(socket);
	if (*error != 0) {
		handle_rele(h);
		return (NULL);
	}
	return (h);
}

// Refuses new calls and waits until the running ones are out.  True for the one caller who may go on;
// every other waits until that one has closed the handle.
static bool
shut(nngio_handle *h)
{
	int turn = 0;
	int open = 0;

	if (!atomic_compare_exchange_strong(&h->closed, &open, 1)) {
		while (atomic_load(&h->closed) != 2) {
			pause_briefly(turn++);
		}
		return (false);
	}
	while (atomic_load(&h->inside) != 0) {
		pause_briefly(turn++);
	}
	device_closes(h);
	pending_end(h);
	reader_end(h);
	retired_free(h);
	return (true);
}

static void
close_context(nngio_handle *h)
{
	if (shut(h)) {
		nng_ctx c = { .id = h->id };
		nng_ctx_close(c);
		atomic_store(&h->closed, 2);
	}
}

static void
unlist_context(nngio_handle *h)
{
	nngio_handle **link;
	bool           found = false;

	pthread_mutex_lock(&h->parent->lock);
	for (link = &h->parent->contexts; *link != NULL; link = &(*link)->sibling) {
		if (*link == h) {
			*link = h->sibling;
			found = true;
			break;
		}
	}
	pthread_mutex_unlock(&h->parent->lock);
	if (found) {
		handle_rele(h);
	}
}

// Blocks until NNG has closed it: pending operations end with NNG_ECLOSED, pipes are torn down.
// Any thread, but none of NNG's.  NNG_ECLOSED when somebody had closed it before.
int
nngio_handle_close(nngio_handle *h)
{
	nngio_handle *c;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if ((h->flags & NNGIO_CTX) != 0) {
		bool was_open = atomic_load(&h->closed) == 0;
		close_context(h);
		unlist_context(h);
		handle_unpark_all(h);
		return (was_open ? 0 : NNG_ECLOSED);
	}
	if (!shut(h)) {
		return (NNG_ECLOSED);
	}
	for (;;) {
		pthread_mutex_lock(&h->lock);
		if ((c = h->contexts) != NULL) {
			h->contexts = c->sibling;
		}
		pthread_mutex_unlock(&h->lock);
		if (c == NULL) {
			break;
		}
		close_context(c);
		handle_unpark_all(c);
		handle_rele(c); // the list's
	}
	dials_begin(h, 0);
	nng_socket s = { .id = h->id };
	nng_close(s);
	pipes_end(h);
	unlist_open(h); // until now the exit waits for this
	atomic_store(&h->closed, 2);
	handle_unpark_all(h);
	return (0);
}

// Whether it is closed, or about to be.  A context is with its socket.
bool
nngio_handle_closed(nngio_handle *h)
{
	return (atomic_load(&h->closed) != 0);
}

// Options of a context.  NNG frees a context that is closed under one of these, when its socket may be gone.
int
nngio_ctx_get(nngio_handle *h, const char *name, void *value, size_t *size)
{
	nng_ctx c = { .id = h->id };
	int     rv;

	if ((rv = handle_enter(h)) == 0) {
		rv = nng_ctx_get(c, name, value, size);
		handle_leave(h);
	}
	return (rv);
}

int
nngio_ctx_set(nngio_handle *h, const char *name, const void *value, size_t size)
{
	nng_ctx c = { .id = h->id };
	int     rv;

	if ((rv = handle_enter(h)) == 0) {
		rv = nng_ctx_set(c, name, value, size);
		handle_leave(h);
	}
	return (rv);
}

// The destructor of the handle's Python object.  Operations that are still pending keep it.
void
nngio_handle_free(nngio_handle *h)
{
	if (h != NULL && !nngio_forked()) {
		handle_rele(h);
	}
}

uint32_t
nngio_handle_id(nngio_handle *h)
{
	return (h->id);
}

uint32_t
nngio_handle_parked(nngio_handle *h)
{
	return (atomic_load(&h->parked_count));
}

uint32_t
nngio_handle_on_loops(nngio_handle *h)
{
	return ((uint32_t) (atomic_load(&h->on_loops) & STAMP_COUNT));
}
