// REQ/REP, one request at a time, with the calls that wait: nng_sendmsg and nng_recvmsg.

#include "bench.h"

static void
echo(nng_socket rep)
{
	nng_msg *msg;
	for (;;) {
		check(nng_recvmsg(rep, &msg, 0), "recv");
		check(nng_sendmsg(rep, msg, 0), "send");
	}
}

static void
echo_thread(void *arg)
{
	echo(*(nng_socket *) arg);
}

static void
echo_process(const job *j)
{
	nng_socket rep = open_socket(REP, 0);
	do_dial(rep, j);
	echo(rep);
}

void
roundtrip(job *j)
{
	meter      m = { .seconds = j->seconds, .step = 1 };
	nng_socket req, rep;
	nng_msg   *msg;

	fork_peer(j, echo_process);
	req = open_socket(REQ, 0);
	do_listen(req, j);
	if (!j->processes) {
		rep = open_socket(REP, 0);
		do_dial(rep, j);
		start_thread(echo_thread, &rep);
	}
	while (meter_next(&m)) {
		meter_start(&m);
		for (uint64_t i = 0; i < m.count; i++) {
			uint64_t start = meter_clock();
			check(nng_sendmsg(req, new_message(j), 0), "send");
			check(nng_recvmsg(req, &msg, 0), "recv");
			nng_msg_free(msg);
			m.times[i] = meter_clock() - start;
		}
		meter_stop(&m);
	}
	meter_print_times(&m);
}
