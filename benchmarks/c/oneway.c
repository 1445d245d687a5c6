// One side sends as fast as it is let, the other receives: PUSH/PULL, and PAIR with buffers.

#include <pthread.h>

#include "bench.h"

typedef struct {
	nng_socket s;
	uint64_t   count;
} receiver;

static void *
receive(void *arg)
{
	receiver *r = arg;
	nng_msg  *msg;
	for (uint64_t i = 0; i < r->count; i++) {
		check(nng_recvmsg(r->s, &msg, 0), "recv");
		nng_msg_free(msg);
	}
	return (NULL);
}

void
send_for_ever(const job *j, enum kind kind, int buffer)
{
	nng_socket s = open_socket(kind, buffer);
	do_dial(s, j);
	for (;;) {
		check(nng_sendmsg(s, new_message(j), 0), "send");
	}
}

static void
push_process(const job *j)
{
	send_for_ever(j, PUSH, 0);
}

static void
pair_process(const job *j)
{
	send_for_ever(j, PAIR, 128);
}

void
oneway(job *j, enum kind from, enum kind to, int buffer)
{
	meter      m = { .seconds = j->seconds, .step = 1 };
	receiver   r;
	nng_socket sender = NNG_SOCKET_INITIALIZER;
	pthread_t  thread;

	fork_peer(j, from == PUSH ? push_process : pair_process);
	r.s = open_socket(to, buffer);
	do_listen(r.s, j);
	if (!j->processes) {
		sender = open_socket(from, buffer);
		do_dial(sender, j);
	}
	while (meter_next(&m)) {
		r.count = m.count;
		meter_start(&m);
		if (j->processes) {
			receive(&r);
		} else {
			pthread_create(&thread, NULL, receive, &r);
			for (uint64_t i = 0; i < m.count; i++) {
				check(nng_sendmsg(sender, new_message(j), 0), "send");
			}
			pthread_join(thread, NULL);
		}
		meter_stop(&m);
	}
	meter_print_rate(&m, 1);
}
