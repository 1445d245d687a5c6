// Calibration and clocks, the same as benchmarks/meter.py: one phase to warm up, phases that grow until
// one is long enough to tell the rate, and the one that counts.

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

uint64_t
meter_clock(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec);
}

static double
cpu_seconds(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return ((double) (r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	    (double) (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6);
}

static uint64_t
multiple(const meter *m, double count)
{
	uint64_t steps = (uint64_t) (count / (double) m->step + 0.5);
	return ((steps > 0 ? steps : 1) * m->step);
}

// True when there is one more phase to run, of `m->count` operations.
bool
meter_next(meter *m)
{
	double enough = m->seconds / 8;

	if (m->phase == 0) {
		m->count = multiple(m, 16);
		m->phase = 1;
	} else if (m->phase == 1) {
		m->phase = 2; // the same again, now that it is connected
	} else if (m->phase == 2 && m->elapsed < enough) {
		double growth = m->elapsed > 0 ? 1.2 * enough / m->elapsed : 10;
		m->count = multiple(m, (double) m->count * (growth > 10 ? 10 : growth < 2 ? 2 : growth));
	} else if (m->phase == 2) {
		m->count = multiple(m, (double) m->count / m->elapsed * m->seconds);
		m->phase = 3;
	} else {
		return (false);
	}
	if (m->times_size < m->count) {
		m->times_size = m->count;
		free(m->times);
		m->times = malloc(m->count * sizeof(*m->times));
	}
	return (true);
}

void
meter_start(meter *m)
{
	m->cpu_started = cpu_seconds();
	m->started     = (double) meter_clock() / 1e9;
}

void
meter_stop(meter *m)
{
	m->elapsed = (double) meter_clock() / 1e9 - m->started;
	m->cpu     = cpu_seconds() - m->cpu_started;
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
	return (x < y ? -1 : x > y);
}

static void
finish(const meter *m, uint64_t each)
{
	uint64_t n = m->count * each;
	printf("\"operations\": %llu, \"seconds\": %.9f, \"cpu\": %.12f, \"versions\": {\"nng\": \"%s\"}}\n",
	    (unsigned long long) n, m->elapsed, m->cpu / (double) n, nng_version());
	fflush(stdout);
	_Exit(0); // what is left open, and other threads, don't matter any more
}

void
meter_print_times(meter *m)
{
	uint64_t  n = m->count;
	uint64_t *t = m->times;

	qsort(t, n, sizeof(*t), compare);
	printf("{\"value\": %.9f, \"p99\": %.9f, \"p999\": %.9f, \"mean\": %.9f, ", (double) t[n / 2] / 1e9,
	    (double) t[n * 99 / 100] / 1e9, (double) t[n * 999 / 1000] / 1e9, m->elapsed / (double) n);
	finish(m, 1);
}

void
meter_print_rate(meter *m, uint64_t each)
{
	printf("{\"value\": %.3f, ", (double) (m->count * each) / m->elapsed);
	finish(m, each);
}
