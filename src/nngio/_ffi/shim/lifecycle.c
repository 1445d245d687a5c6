// Starting NNG, what a fork leaves behind, and the interpreter's exit.

#ifdef __linux__
#define _GNU_SOURCE
#include <sched.h>
#endif
#include <signal.h>
#include <unistd.h>

#include "internal.h"
#include "nngio_features.h"

// Set in the child of a fork that happened after NNG had started: its threads are gone and its locks
// are in whatever state they were, so nothing may reach NNG any more.
atomic_int nngio_is_forked;

static atomic_int      started; // 0, 1 starting, 2
static bool            watching;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;

static void
after_fork_in_child(void)
{
	if (atomic_load(&started)) {
		atomic_store(&nngio_is_forked, 1);
	}
}

bool
nngio_forked(void)
{
	return (atomic_load_explicit(&nngio_is_forked, memory_order_relaxed) != 0);
}

bool
nngio_started(void)
{
	return (atomic_load(&started) == 2);
}

// What closing the sockets may hold up the exit: a websocket waits for its peer.
#define END_MS 400

static atomic_bool ending;
static atomic_uint ended;

// Where a blocked call would return to a Python that is no more, the thread stays until the process is gone.
void
stay_if_ending(void)
{
	while (atomic_load_explicit(&ending, memory_order_acquire)) {
		pause();
	}
}

static void *
end_thread(void *arg)
{
	handles_close();
	streams_close();
	atomic_store(&ended, 1);
	word_wake(&ended);
	return (arg);
}


// NNG's threads inherit the mask of the thread that makes them, and block nothing but SIGPIPE
// themselves: one of them would take the signals that Python's main thread waits for.
void
block_signals(void *old)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, old);
}

void
restore_signals(const void *old)
{
	pthread_sigmask(SIG_SETMASK, old, NULL);
}

// How many cores this process might use when it first asked.
int
usable_cores(void)
{
	static atomic_int cores;
	int               n = atomic_load_explicit(&cores, memory_order_relaxed);

	if (n == 0) {
		n = (int) sysconf(_SC_NPROCESSORS_ONLN);
#ifdef __linux__
		cpu_set_t set;
		if (sched_getaffinity(0, sizeof(set), &set) == 0) {
			n = CPU_COUNT(&set);
		}
#endif
		atomic_store_explicit(&cores, n, memory_order_relaxed);
	}
	return (n);
}

// Task threads run what the pipes bring, one piece at a time for each pipe, and all of them take their work from
// one list under one lock.  NNG's own number, two for each core, makes them wait for each other more than it gets
// done; fewer than two could wait for one another for ever.
#define TASK_THREADS_MIN 2
#define TASK_THREADS_MAX 16

static inline int
default_task_threads(void)
{
	int n = usable_cores();
	return (n < TASK_THREADS_MIN ? TASK_THREADS_MIN : n > TASK_THREADS_MAX ? TASK_THREADS_MAX : n);
}

#ifndef NNGIO_TASK_THREADS // the build may have been told a number
#define NNGIO_TASK_THREADS default_task_threads()
#endif

#ifdef NNGIO_HAVE_nng_init_set_parameter
static bool task_threads_set;
#endif

// NNG's nng_init_set_parameter, as long as NNG has not started: NNG_ESTATE afterwards, NNG_ENOTSUP without it.
int
nngio_init_set_parameter(int parameter, uint64_t value)
{
	int rv;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	pthread_mutex_lock(&start_lock);
	if ((rv = atomic_load(&started) == 0 ? 0 : NNG_ESTATE) == 0) {
#ifdef NNGIO_HAVE_nng_init_set_parameter
		nng_init_set_parameter(parameter, value);
		task_threads_set |= parameter == NNG_INIT_NUM_TASK_THREADS;
#else
		rv = NNG_ENOTSUP;
#endif
	}
	pthread_mutex_unlock(&start_lock);
	return (rv);
}

static void
set_defaults(void)
{
#ifdef NNGIO_HAVE_nng_init_set_parameter
	if (!task_threads_set) {
		nng_init_set_parameter(NNG_INIT_NUM_TASK_THREADS, (uint64_t) NNGIO_TASK_THREADS);
	}
#endif
}

// Called by whoever makes the first socket or operation, on any thread; later calls cost one load.
int
nngio_init(void)
{
	int rv = 0;

	if (nngio_forked()) {
		return (NNGIO_FORKED);
	}
	if (atomic_load_explicit(&started, memory_order_acquire) == 2) {
		return (0);
	}
	pthread_mutex_lock(&start_lock);
	if (atomic_load(&started) != 2) {
		sigset_t old;
		nng_aio *aio = NULL;
		if (!watching) {
			pthread_atfork(NULL, NULL, after_fork_in_child);
			watching = true;
		}
		atomic_store(&started, 1); // a child that is forked from here on can't use what is half made
		set_defaults();
		block_signals(&old);
		if ((rv = nng_aio_alloc(&aio, NULL, NULL)) == 0) { // this starts the library
			nng_aio_free(aio);
		}
		restore_signals(&old);
		atomic_store_explicit(&started, rv == 0 ? 2 : 0, memory_order_release);
	}
	pthread_mutex_unlock(&start_lock);
	return (rv);
}

// The end of the process, but for what C does: closes the sockets that are open, so that peers are told and
// the files of UNIX sockets removed.  Called by Python when it has ended, or by the thread that ends the
// process; nobody else has the GIL, or will.
void
nngio_end(void)
{
	pthread_t thread;
	sigset_t  old;

	if (nngio_forked() || !nngio_started() || atomic_exchange(&ending, true)) {
		return;
	}
	block_signals(&old);
	if (pthread_create(&thread, NULL, end_thread, NULL) == 0) {
		pthread_detach(thread);
		(void) word_wait(&ended, 0, END_MS);
	}
	restore_signals(&old);
}
