// One PUB, many SUBs, one thread: bursts of messages, small enough that no queue is ever full, each of
// which every SUB has received before the next begins.

#include <stdlib.h>

#include "bench.h"

#define BURST 8

void
pubsub(job *j)
{
	meter       m    = { .seconds = j->seconds, .step = BURST };
	nng_socket  pub  = open_socket(PUB, 0);
	nng_socket *subs = calloc((size_t) j->count, sizeof(*subs));
	nng_msg    *msg;

	do_listen(pub, j);
	for (int i = 0; i < j->count; i++) {
		subs[i] = open_socket(SUB, 0);
		do_dial(subs[i], j);
	}
	sleep_ms(300); // until PUB knows them all
	while (meter_next(&m)) {
		meter_start(&m);
		for (uint64_t n = 0; n < m.count; n += BURST) {
			for (int k = 0; k < BURST; k++) {
				check(nng_sendmsg(pub, new_message(j), 0), "send");
			}
			for (int i = 0; i < j->count; i++) {
				for (int k = 0; k < BURST; k++) {
					check(nng_recvmsg(subs[i], &msg, 0), "recv");
					nng_msg_free(msg);
				}
			}
		}
		meter_stop(&m);
	}
	meter_print_rate(&m, (uint64_t) j->count);
}
