// Sleeping on a word until another thread changes it.  Unlike NNG's own waits, a signal ends the
// sleep, which is how Ctrl-C gets through to a blocked call.

#include <time.h>

#include "internal.h"

#ifdef __linux__

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void
word_wake(atomic_uint *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

bool
word_wait(atomic_uint *word, unsigned seen, int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000 };

	if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, ms < 0 ? NULL : &ts, NULL, 0) == 0) {
		return (true);
	}
	return (atomic_load(word) != seen);
}

#else

// Elsewhere one lock and one condition serve all words, and a wait ends every 20 ms at the latest:
// a condition variable does not tell that a signal came.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  cond = PTHREAD_COND_INITIALIZER;

void
word_wake(atomic_uint *word)
{
	(void) word;
	pthread_mutex_lock(&lock);
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}

bool
word_wait(atomic_uint *word, unsigned seen, int ms)
{
	struct timespec ts;

	if (ms < 0 || ms > 20) {
		ms = 20;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += (long) ms * 1000000;
	ts.tv_sec += ts.tv_nsec / 1000000000;
	ts.tv_nsec %= 1000000000;
	pthread_mutex_lock(&lock);
	if (atomic_load(word) == seen) {
		pthread_cond_timedwait(&cond, &lock, &ts);
	}
	pthread_mutex_unlock(&lock);
	return (atomic_load(word) != seen);
}

#endif
