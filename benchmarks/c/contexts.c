// Many requests at once over one REQ and one REP socket: as many contexts on each side, all of them
// driven by the callbacks of their aios on NNG's own threads.  No thread waits.

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bench.h"

typedef struct {
	const job *job;
	nng_ctx    ctx;
	nng_aio   *aio;
	bool       sending;
	uint64_t   left; // requests of this phase
} worker;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  cond = PTHREAD_COND_INITIALIZER;
static int             busy;

static void
submit(worker *w, bool sending)
{
	w->sending = sending;
	(sending ? nng_ctx_send : nng_ctx_recv)(w->ctx, w->aio);
}

static void
server(void *arg)
{
	worker *w = arg;
	check(nng_aio_result(w->aio), "server");
	submit(w, !w->sending); // what it received is still in the aio, and goes back
}

static void
request(worker *w)
{
	nng_aio_set_msg(w->aio, new_message(w->job));
	submit(w, true);
}

static void
client(void *arg)
{
	worker *w = arg;
	check(nng_aio_result(w->aio), "client");
	if (w->sending) {
		submit(w, false);
		return;
	}
	nng_msg_free(nng_aio_get_msg(w->aio));
	nng_aio_set_msg(w->aio, NULL);
	if (--w->left > 0) {
		request(w);
		return;
	}
	pthread_mutex_lock(&lock);
	if (--busy == 0) {
		pthread_cond_signal(&cond);
	}
	pthread_mutex_unlock(&lock);
}

static worker *
workers(const job *j, nng_socket s, void (*callback)(void *))
{
	worker *all = calloc((size_t) j->count, sizeof(*all));
	for (int i = 0; i < j->count; i++) {
		all[i].job = j;
		check(nng_ctx_open(&all[i].ctx, s), "context");
		check(nng_aio_alloc(&all[i].aio, callback, &all[i]), "aio");
	}
	return (all);
}

void
contexts(job *j)
{
	meter      m   = { .seconds = j->seconds, .step = (uint64_t) j->count };
	nng_socket req = open_socket(REQ, 0), rep = open_socket(REP, 0);
	worker    *clients, *servers;

	do_listen(rep, j);
	do_dial(req, j);
	servers = workers(j, rep, server);
	clients = workers(j, req, client);
	for (int i = 0; i < j->count; i++) {
		submit(&servers[i], false);
	}
	while (meter_next(&m)) {
		meter_start(&m);
		busy = j->count;
		for (int i = 0; i < j->count; i++) {
			clients[i].left = m.count / (uint64_t) j->count;
		}
		for (int i = 0; i < j->count; i++) {
			request(&clients[i]);
		}
		pthread_mutex_lock(&lock);
		while (busy != 0) {
			pthread_cond_wait(&cond, &lock);
		}
		pthread_mutex_unlock(&lock);
		meter_stop(&m);
	}
	meter_print_rate(&m, 1);
}
