// Pipes: who is connected, who may be, and who is told.
//
// NNG calls pipe_event, without a lock of its own: ADD_PRE and ADD_POST on a task thread, for one pipe of a dialer's or
// listener's after the other; REM_POST on the reaper's.  Closing waits for these calls, so they wait for nobody: they take
// one lock, under which nothing is called that takes another, and leave what they have to tell where it is fetched.
//
// A pipe's way: in ADD_PRE what is known of it is noted, and it is given a place, or closed if it may not have one; ADD_POST
// makes it connected; in REM_POST it loses its place.  NNG doesn't wait with REM_POST until ADD_POST has come.  Then the pipe is
// kept among those that are undecided.  Either ADD_POST comes after all, and both are told at once; or the protocol had
// refused it, and nothing was ever connected.  The next pipe of the same dialer or listener proves the latter.  And a pipe
// whose dialer or listener is closed before ADD_PRE has no REM_POST at all: NNG has forgotten its id by then, or soon does.
//
// A watch is told of each pipe twice, connected and disconnected, in this order.  Memory for both is taken at the first, so
// that the second can't fail.  What nobody fetches is bounded: beyond a watch's limit, a pipe that comes and goes unseen is
// skipped, and counted.  So it keeps no more than its limit, and what the pipes that are connected need.

#include <stdlib.h>
#include <string.h>

#include "pipes.h"

#ifndef NNG_OPT_TLS_PEER_CN
#define NNG_OPT_TLS_PEER_CN "tls-peer-cn"
#endif
#ifndef NNG_OPT_TLS_PEER_ALT_NAMES
#define NNG_OPT_TLS_PEER_ALT_NAMES "tls-peer-alt-names"
#endif

#define UNDECIDED_MAX 64 // more dialers and listeners than are in that state at the same time

struct pipes {
	pthread_mutex_t  lock; // of all that follows
	peer           **table; // by the low bits of the id
	size_t           size;  // of the table, a power of 2
	peer            *first, *last;
	unsigned         places, connected;
	peer            *undecided; // newest first; without a place
	nngio_watch     *watches;
	nngio_op        *waiting;
	nngio_admission *admission;
	bool             ended; // no more pipes will come or go
};

struct nngio_watch {
	nngio_handle *handle; // held
	nngio_watch  *next;
	nngio_event  *first, *last;
	unsigned      count, limit; // of events
	uint64_t      skipped;
	bool          closed;
};

// Peers.

static void
peer_rele(peer *p)
{
	if (atomic_fetch_sub(&p->refs, 1) != 1) {
		return;
	}
	for (char **name = p->was.names; name != NULL && *name != NULL; name++) {
		free(*name);
	}
	free(p->was.names);
	nng_strfree(p->was.subject);
	nng_strfree(p->was.url);
	free(p);
}

static peer *
peer_of(nng_pipe pipe)
{
	peer       *p = calloc(1, sizeof(*p));
	nngio_peer *was;

	if (p == NULL) {
		return (NULL);
	}
	atomic_init(&p->refs, 1);
	was           = &p->was;
	was->id       = pipe.id;
	was->dialer   = nng_pipe_dialer(pipe).id;
	was->listener = nng_pipe_listener(pipe).id;
	if (nng_pipe_get_addr(pipe, NNG_OPT_LOCADDR, &was->local) != 0) {
		was->local.s_family = NNG_AF_UNSPEC;
	}
	if (nng_pipe_get_addr(pipe, NNG_OPT_REMADDR, &was->remote) != 0) {
		was->remote.s_family = NNG_AF_UNSPEC;
	}
	was->has_uid = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &was->uid) == 0;
	was->has_gid = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_GID, &was->gid) == 0;
	was->has_pid = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_PID, &was->pid) == 0;
	was->tls     = nng_pipe_get_bool(pipe, NNG_OPT_TLS_VERIFIED, &was->verified) == 0;
	if (was->tls) {
		if (nng_pipe_get_string(pipe, NNG_OPT_TLS_PEER_CN, &was->subject) != 0) {
			was->subject = NULL;
		}
		if (nng_pipe_get_ptr(pipe, NNG_OPT_TLS_PEER_ALT_NAMES, (void **) &was->names) != 0) {
			was->names = NULL;
		}
	}
	if (nng_pipe_get_string(pipe, NNG_OPT_URL, &was->url) != 0) {
		was->url = NULL;
	}
	return (p);
}

// What is known of a pipe that has not gone; NULL if it has, or without memory.
nngio_peer *
nngio_peer_of(uint32_t id)
{
	nng_pipe pipe = { .id = id };
	peer    *p;

	if (nngio_forked() || (p = peer_of(pipe)) == NULL) {
		return (NULL);
	}
	if (nng_pipe_socket(pipe).id == 0) { // asked last: it may have gone meanwhile
		peer_rele(p);
		return (NULL);
	}
	return (&p->was);
}

void
nngio_peer_free(nngio_peer *p)
{
	if (!nngio_forked()) {
		peer_rele((peer *) p);
	}
}

// The table.

static peer **
slot_of(struct pipes *ps, uint32_t id)
{
	return (&ps->table[id & (ps->size - 1)]);
}

static void
grow(struct pipes *ps)
{
	peer **table = calloc(ps->size * 2, sizeof(*table));

	if (table == NULL) {
		return; // it only gets slower
	}
	free(ps->table);
	ps->table = table;
	ps->size *= 2;
	for (peer *p = ps->first; p != NULL; p = p->next) {
		peer **slot = slot_of(ps, p->was.id);
		p->same     = *slot;
		*slot       = p;
	}
}

static peer *
find(struct pipes *ps, uint32_t id)
{
	peer *p = *slot_of(ps, id);

	while (p != NULL && p->was.id != id) {
		p = p->same;
	}
	return (p);
}

static void
give_place(struct pipes *ps, peer *p)
{
	peer **slot = slot_of(ps, p->was.id);

	p->same = *slot;
	*slot   = p;
	p->next = NULL;
	p->prev = ps->last;
	*(ps->last != NULL ? &ps->last->next : &ps->first) = p;
	ps->last = p;
	if (++ps->places > ps->size) {
		grow(ps);
	}
}

static void
take_place(struct pipes *ps, peer *p)
{
	peer **link = slot_of(ps, p->was.id);

	while (*link != p) {
		link = &(*link)->same;
	}
	*link = p->same;
	*(p->prev != NULL ? &p->prev->next : &ps->first) = p->next;
	*(p->next != NULL ? &p->next->prev : &ps->last)  = p->prev;
	ps->places--;
}

// Takes the places of those that were closed before ADD_PRE; or of all.  The id of any other pipe outlives its REM_POST.
static void
forget_gone(struct pipes *ps, bool all)
{
	peer *next;

	for (peer *p = ps->first; p != NULL && (all || ps->places > ps->connected); p = next) {
		next = p->next;
		if (all || (!p->connected && nng_pipe_socket((nng_pipe){ .id = p->was.id }).id == 0)) {
			take_place(ps, p);
			peer_rele(p);
		}
	}
}

// Those that are undecided.

// Removes and returns the one with this id, NULL if there is none.
static peer *
decide(struct pipes *ps, uint32_t id)
{
	peer **link = &ps->undecided;
	peer  *p;

	while ((p = *link) != NULL && p->was.id != id) {
		link = &p->next;
	}
	if (p != NULL) {
		*link = p->next;
	}
	return (p);
}

// Removes those that were refused: the ones of the same dialer or listener as `later`, or, for NULL, all beyond so many.
static void
forget_refused(struct pipes *ps, const peer *later, int keep)
{
	peer **link = &ps->undecided;
	peer  *p;

	while ((p = *link) != NULL) {
		bool refused = later != NULL ? p->was.dialer == later->was.dialer && p->was.listener == later->was.listener : keep-- <= 0;
		if (refused) {
			*link = p->next;
			peer_rele(p);
		} else {
			link = &p->next;
		}
	}
}

// Events.

static void
event_free(nngio_event *e)
{
	peer_rele((peer *) e->peer);
	free(e);
}

static void
watch_add(nngio_watch *w, nngio_event *e)
{
	e->next = NULL;
	e->prev = w->last;
	*(w->last != NULL ? &w->last->next : &w->first) = e;
	w->last = e;
	w->count++;
}

static void
watch_remove(nngio_watch *w, nngio_event *e)
{
	*(e->prev != NULL ? &e->prev->next : &w->first) = e->next;
	*(e->next != NULL ? &e->next->prev : &w->last)  = e->prev;
	w->count--;
	if (e->mate != NULL) {
		e->mate->mate = NULL;
		e->mate       = NULL;
	}
}

static nngio_event *
event_new(nngio_watch *w, peer *p, bool connected)
{
	nngio_event *e = calloc(1, sizeof(*e));

	if (e != NULL) {
		atomic_fetch_add(&p->refs, 1);
		e->peer      = &p->was;
		e->watch     = w;
		e->connected = connected;
	}
	return (e);
}

// Tells a watch that a pipe is connected, and makes ready what will tell that it is not any more.
static bool
tell_connected(nngio_watch *w, peer *p)
{
	nngio_event *begins = event_new(w, p, true);
	nngio_event *ends   = event_new(w, p, false);

	if (begins == NULL || ends == NULL) {
		if (begins != NULL || ends != NULL) {
			event_free(begins != NULL ? begins : ends);
		}
		w->skipped++;
		return (false);
	}
	begins->mate = ends;
	ends->mate   = begins;
	ends->next   = p->ends;
	p->ends      = ends;
	watch_add(w, begins);
	return (true);
}

static void
tell_disconnected(peer *p)
{
	nngio_event *e;

	while ((e = p->ends) != NULL) {
		nngio_watch *w = e->watch;
		p->ends        = e->next;
		if (e->mate != NULL && w->count > w->limit) {
			nngio_event *begins = e->mate;
			watch_remove(w, begins);
			event_free(begins);
			event_free(e);
			w->skipped++;
		} else {
			watch_add(w, e);
		}
	}
}

// Operations that wait.

static void
unlink_waiting(struct pipes *ps, nngio_op *op)
{
	*(op->pending_prev != NULL ? &op->pending_prev->pending_next : &ps->waiting) = op->pending_next;
	if (op->pending_next != NULL) {
		op->pending_next->pending_prev = op->pending_prev;
	}
	op->watching = false;
}

static void
link_waiting(struct pipes *ps, nngio_op *op)
{
	op->pending_prev = NULL;
	op->pending_next = ps->waiting;
	if (ps->waiting != NULL) {
		ps->waiting->pending_prev = op;
	}
	ps->waiting  = op;
	op->watching = true;
}

static bool
has_come(struct pipes *ps, nngio_op *op)
{
	nngio_watch *w = op->watch;

	return (ps->ended || (w != NULL ? w->first != NULL || w->closed : ps->connected >= op->peers));
}

// Takes those that have what they wait for off the list, to be completed without the lock: from then on their owners
// may do with them what they like.
static nngio_op *
take_served(struct pipes *ps)
{
	nngio_op *served = NULL, *next;

	for (nngio_op *op = ps->waiting; op != NULL; op = next) {
		next = op->pending_next;
		if (has_come(ps, op)) {
			unlink_waiting(ps, op);
			op->result       = ps->ended && op->watch == NULL ? NNG_ECLOSED : 0;
			op->pending_next = served;
			served           = op;
		}
	}
	return (served);
}

static void
complete_all(nngio_op *op)
{
	while (op != NULL) {
		nngio_op *next = op->pending_next;
		op_complete(op, op->result);
		op = next;
	}
}

// What NNG tells.

static void
add_pre(struct pipes *ps, nng_pipe pipe)
{
	peer *p = peer_of(pipe);
	bool  admitted;

	if (p == NULL) {
		nng_pipe_close(pipe); // better nobody than somebody unknown
		return;
	}
	pthread_mutex_lock(&ps->lock);
	forget_refused(ps, p, 0);
	forget_gone(ps, false);
	if ((admitted = admission_admits(ps->admission, &p->was, ps->places))) {
		give_place(ps, p);
	}
	pthread_mutex_unlock(&ps->lock);
	if (!admitted) {
		peer_rele(p);
		nng_pipe_close(pipe);
	}
}

static void
add_post(struct pipes *ps, nng_pipe pipe)
{
	nngio_op *served;
	peer     *p, *gone = NULL;

	pthread_mutex_lock(&ps->lock);
	if ((p = find(ps, pipe.id)) != NULL) {
		p->connected = true;
		ps->connected++;
	} else {
		p = gone = decide(ps, pipe.id);
	}
	for (nngio_watch *w = ps->watches; w != NULL && p != NULL; w = w->next) {
		(void) tell_connected(w, p);
	}
	if (gone != NULL) {
		tell_disconnected(gone);
	}
	served = take_served(ps);
	pthread_mutex_unlock(&ps->lock);
	if (gone != NULL) {
		peer_rele(gone);
	}
	complete_all(served);
}

static void
rem_post(struct pipes *ps, nng_pipe pipe)
{
	nngio_op *served = NULL;
	peer     *p;

	pthread_mutex_lock(&ps->lock);
	if ((p = find(ps, pipe.id)) != NULL) {
		take_place(ps, p);
		if (p->connected) {
			ps->connected--;
			tell_disconnected(p);
			served = take_served(ps);
		} else {
			p->next       = ps->undecided;
			ps->undecided = p;
			forget_refused(ps, NULL, UNDECIDED_MAX);
			p = NULL;
		}
	}
	pthread_mutex_unlock(&ps->lock);
	if (p != NULL) {
		peer_rele(p);
	}
	complete_all(served);
}

static void
pipe_event(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct pipes *ps = arg;

	switch (event) {
	case NNG_PIPE_EV_ADD_PRE:
		add_pre(ps, pipe);
		break;
	case NNG_PIPE_EV_ADD_POST:
		add_post(ps, pipe);
		break;
	case NNG_PIPE_EV_REM_POST:
		rem_post(ps, pipe);
		break;
	default:
		break;
	}
}

// The socket's part.

// For a socket that was just opened, and has no dialer or listener yet.
int
pipes_open(nngio_handle *h)
{
	struct pipes *ps = calloc(1, sizeof(*ps));
	nng_socket    s  = { .id = h->id };

	if (ps == NULL || (ps->table = calloc(8, sizeof(*ps->table))) == NULL) {
		free(ps);
		return (NNG_ENOMEM);
	}
	ps->size = 8;
	pthread_mutex_init(&ps->lock, NULL);
	h->pipes = ps;
	for (int event = NNG_PIPE_EV_ADD_PRE; event < NNG_PIPE_EV_NUM; event++) {
		nng_pipe_notify(s, (nng_pipe_ev) event, pipe_event, ps);
	}
	return (0);
}

// When NNG has closed the socket: the last disconnection has been told, and whoever waits waits no longer.
void
pipes_end(nngio_handle *h)
{
	struct pipes *ps = h->pipes;
	nngio_op     *served;

	pthread_mutex_lock(&ps->lock);
	ps->ended = true;
	served    = take_served(ps);
	pthread_mutex_unlock(&ps->lock);
	complete_all(served);
}

// When nobody has the socket any more.
void
pipes_free(nngio_handle *h)
{
	struct pipes *ps = h->pipes;

	if (ps != NULL) {
		forget_refused(ps, NULL, 0);
		forget_gone(ps, true);
		admission_rele(ps->admission);
		pthread_mutex_destroy(&ps->lock);
		free(ps->table);
		free(ps);
	}
}

// Ends an operation that waits with `code`, unless it has what it waits for.  Called by its owner.
void
pipes_abort(nngio_op *op, int code)
{
	struct pipes *ps = op->handle->pipes;
	bool          mine;

	pthread_mutex_lock(&ps->lock);
	if ((mine = op->watching)) {
		unlink_waiting(ps, op);
	}
	pthread_mutex_unlock(&ps->lock);
	if (mine) {
		op_complete(op, code);
	}
}

// From here on called from Python.

// From now on other rules decide about new peers, NULL for none; those that are connected stay.
int
nngio_admission_set(nngio_handle *h, nngio_admission *a)
{
	struct pipes    *ps = h->pipes;
	nngio_admission *old;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	admission_hold(a);
	pthread_mutex_lock(&ps->lock);
	old           = ps->admission;
	ps->admission = a;
	pthread_mutex_unlock(&ps->lock);
	admission_rele(old);
	return (0);
}

// Fills in the ids of the pipes that are connected, in the order in which they came, `max` at most.  Returns how many there are.
unsigned
nngio_pipes(nngio_handle *h, uint32_t *ids, unsigned max)
{
	struct pipes *ps = h->pipes;
	unsigned      n  = 0;

	if (nngio_forked()) {
		return (0);
	}
	pthread_mutex_lock(&ps->lock);
	for (peer *p = ps->first; p != NULL; p = p->next) {
		if (p->connected && n++ < max) {
			ids[n - 1] = p->was.id;
		}
	}
	pthread_mutex_unlock(&ps->lock);
	return (n);
}

static int
begin(nngio_op *op, nngio_handle *h, nngio_watch *w, unsigned peers)
{
	struct pipes *ps = h->pipes;
	int           rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if ((rv = op_begin(op, h, NNGIO_WATCH)) != 0) {
		return (rv);
	}
	op->watch = w;
	op->peers = peers;
	pthread_mutex_lock(&ps->lock);
	if (w != NULL ? (ps->ended && w->first == NULL) || w->closed : ps->ended || atomic_load(&h->closed) != 0) {
		rv = NNG_ECLOSED;
	} else if (!has_come(ps, op)) {
		op_pending(op);
		link_waiting(ps, op);
		rv = NNGIO_PENDING;
	}
	pthread_mutex_unlock(&ps->lock);
	return (rv);
}

// Waits until so many peers are connected at the same time.  NNG_ECLOSED when the socket is closed.
int
nngio_begin_peers(nngio_op *op, nngio_handle *h, unsigned peers)
{
	return (begin(op, h, NULL, peers));
}

// Waits until a watch has an event to be taken.  NNG_ECLOSED when no more will come.
int
nngio_begin_events(nngio_op *op, nngio_watch *w)
{
	return (begin(op, w->handle, w, 0));
}

// The same for an operation with a queue, on which it is put at once if there is something, or no more will come.
int
nngio_ring_events(nngio_op *op, nngio_watch *w)
{
	int rv = begin(op, w->handle, w, 0);

	if (rv == NNGIO_PENDING || rv == NNGIO_FORKED) {
		return (rv == NNGIO_FORKED ? rv : 0);
	}
	op_pending(op);
	op_complete(op, 0);
	return (0);
}

// A watch is told of all that is connected now, and of what comes and goes from now on.  NULL without memory.
nngio_watch *
nngio_watch_new(nngio_handle *h, unsigned limit)
{
	struct pipes *ps = h->pipes;
	nngio_watch  *w;

	if (nngio_forked() || (w = calloc(1, sizeof(*w))) == NULL) {
		return (NULL);
	}
	handle_hold(h);
	w->handle = h;
	w->limit  = limit;
	pthread_mutex_lock(&ps->lock);
	for (peer *p = ps->first; p != NULL; p = p->next) {
		if (p->connected && !tell_connected(w, p)) {
			pthread_mutex_unlock(&ps->lock);
			nngio_watch_free(w);
			return (NULL);
		}
	}
	w->next     = ps->watches;
	ps->watches = w;
	pthread_mutex_unlock(&ps->lock);
	return (w);
}

// No more events, not even those that it has; whoever waits for one waits no longer.
void
nngio_watch_close(nngio_watch *w)
{
	struct pipes *ps = w->handle->pipes;
	nngio_watch **link;
	nngio_event  *e;
	nngio_op     *served;

	if (nngio_forked()) {
		return;
	}
	pthread_mutex_lock(&ps->lock);
	for (link = &ps->watches; *link != NULL && *link != w; link = &(*link)->next) {
	}
	if (*link != NULL) {
		*link = w->next;
	}
	for (peer *p = ps->first; p != NULL; p = p->next) {
		nngio_event **end = &p->ends;
		while ((e = *end) != NULL) {
			if (e->watch == w) {
				*end = e->next;
				if (e->mate != NULL) {
					e->mate->mate = NULL;
				}
				event_free(e);
			} else {
				end = &e->next;
			}
		}
	}
	while ((e = w->first) != NULL) {
		watch_remove(w, e);
		event_free(e);
	}
	w->closed = true;
	served    = take_served(ps);
	pthread_mutex_unlock(&ps->lock);
	complete_all(served);
}

// The destructor of the watch's Python object.
void
nngio_watch_free(nngio_watch *w)
{
	nngio_handle *h = w->handle;

	if (!nngio_forked()) {
		nngio_watch_close(w);
		free(w);
		handle_rele(h);
	}
}

// Takes the oldest event; NULL if there is none.
void
nngio_watch_take(nngio_watch *w, nngio_event **event)
{
	struct pipes *ps = w->handle->pipes;

	*event = NULL;
	if (nngio_forked()) {
		return;
	}
	pthread_mutex_lock(&ps->lock);
	if ((*event = w->first) != NULL) {
		watch_remove(w, *event);
	}
	pthread_mutex_unlock(&ps->lock);
}

// Puts back an event that was taken, if there is one, before all others.
void
nngio_watch_return(nngio_watch *w, nngio_event **event)
{
	struct pipes *ps = w->handle->pipes;
	nngio_event  *e  = *event;
	nngio_op     *served;

	if (nngio_forked() || e == NULL) {
		return;
	}
	pthread_mutex_lock(&ps->lock);
	if (w->closed) {
		pthread_mutex_unlock(&ps->lock);
		return;
	}
	*event  = NULL;
	e->prev = NULL;
	e->next = w->first;
	*(w->first != NULL ? &w->first->prev : &w->last) = e;
	w->first = e;
	w->count++;
	served = take_served(ps); // in other threads
	pthread_mutex_unlock(&ps->lock);
	complete_all(served);
}

// Lets go of an event that was taken, if there is one.
void
nngio_event_free(nngio_event **event)
{
	if (*event != NULL && !nngio_forked()) {
		event_free(*event);
		*event = NULL;
	}
}

// Whether no more events will be added.
bool
nngio_watch_ended(nngio_watch *w)
{
	struct pipes *ps = w->handle->pipes;
	bool          ended;

	if (nngio_forked()) {
		return (true);
	}
	pthread_mutex_lock(&ps->lock);
	ended = ps->ended || w->closed;
	pthread_mutex_unlock(&ps->lock);
	return (ended);
}

// How many pipes it was not told of.
uint64_t
nngio_watch_skipped(nngio_watch *w)
{
	struct pipes *ps = w->handle->pipes;
	uint64_t      skipped;

	if (nngio_forked()) {
		return (0);
	}
	pthread_mutex_lock(&ps->lock);
	skipped = w->skipped;
	pthread_mutex_unlock(&ps->lock);
	return (skipped);
}
