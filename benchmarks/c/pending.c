// What a receive costs in memory while it waits: an aio, and the place in the socket's list.

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"

static double
resident(void)
{
	long  pages = 0;
	FILE *f     = fopen("/proc/self/statm", "r");
	if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1) {
		check(NNG_ENOTSUP, "/proc/self/statm");
	}
	fclose(f);
	return ((double) pages * (double) sysconf(_SC_PAGESIZE));
}

static void
nothing(void *arg)
{
	(void) arg;
}

void
pending(job *j)
{
	nng_socket s = open_socket(PULL, 0);
	nng_aio   *aio;
	double     before, after;

	do_listen(s, j);
	before = resident();
	for (int i = 0; i < j->count; i++) {
		check(nng_aio_alloc(&aio, nothing, NULL), "aio");
		nng_recv_aio(s, aio);
	}
	after = resident();
	printf("{\"value\": %.1f, \"operations\": %d, \"versions\": {\"nng\": \"%s\"}}\n",
	    (after - before) / j->count, j->count, nng_version());
	fflush(stdout);
	_Exit(0);
}
