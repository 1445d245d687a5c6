// NNG's task threads, of which one looks for the next task before it sleeps, and the others are not woken for that.

#include "check.h"
#include "nngio_features.h"

#define THREADS 4

static atomic_int met, ended;

// Ends when as many of these run at the same time as there are threads.
static void
meet_the_others(void *argument)
{
	(void) argument;
	meet(&met, THREADS);
	atomic_fetch_add(&ended, 1);
}

static void
as_many_tasks_run_together_as_there_are_threads(void)
{
	nng_aio *aios[THREADS];
	unsigned seed = 3;

	for (int i = 0; i < THREADS; i++) {
		EQUAL(nng_aio_alloc(&aios[i], meet_the_others, NULL), 0);
	}
	for (int turn = 0; turn < rounds(2000); turn++) {
		atomic_store(&met, 0);
		atomic_store(&ended, 0);
		for (int i = 0; i < THREADS; i++) {
			nng_aio_set_timeout(aios[i], NNG_DURATION_INFINITE);
			nng_sleep_aio(0, aios[i]);
			for (unsigned n = dice(&seed, 2000); n > 0; n--) {
				__asm__ volatile("");
			}
		}
		for (int i = 0; i < THREADS; i++) {
			nng_aio_wait(aios[i]);
		}
		EQUAL(atomic_load(&ended), THREADS);
	}
	for (int i = 0; i < THREADS; i++) {
		nng_aio_free(aios[i]);
	}
}

int
main(void)
{
#ifdef NNGIO_HAVE_nng_init_set_parameter
	EQUAL(nngio_init_set_parameter(NNG_INIT_NUM_TASK_THREADS, THREADS), 0);
#endif
	EQUAL(nngio_init(), 0);
	RUN(as_many_tasks_run_together_as_there_are_threads);
	return (0);
}
