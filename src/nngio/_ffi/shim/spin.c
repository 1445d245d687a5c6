// Looking for a moment before sleeping.  Where what is waited for is microseconds away, to be woken costs more than
// all the rest: a core has to be taken out of its rest, by a system call of the thread that brings it.  By no more
// threads than leave a core for those that do the work.
//
// Whoever looks in vain too often sleeps at once until the next epoch begins.  Epochs are those of the clock, so all
// begin anew together, in all processes: while one side of a conversation sleeps, the other would look in vain.

#include <sched.h>
#include <time.h>

#include "internal.h"

#define SPIN_NS 100000
#define LOOKS 16       // at the word, between two at the clock
#define CREDIT 16      // moments that may be in vain, beyond those that were not
#define CREDIT_MAX 64  // of those that were not, so many are remembered
#define EPOCH_NS 100000000

// NNG's, if it has our patch for them: see nng_src/patches, work-at-once.
extern bool nng_poll(void) __attribute__((weak));
extern void nng_poll_ends(void) __attribute__((weak));

static atomic_int     spinning;
static _Atomic int64_t longest = SPIN_NS;

static uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec);
}

static inline void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory");
#endif
}

// Called by any thread, at any time; 0 for never.
void
nngio_spin_set(int64_t ns)
{
	atomic_store_explicit(&longest, ns, memory_order_relaxed);
}

int64_t
nngio_spin_get(void)
{
	return (atomic_load_explicit(&longest, memory_order_relaxed));
}

// Whether to begin; it is for the thread that waits to say when to end.
bool
spin_begin(spinner *s, spin_luck *luck)
{
	int64_t  ns = nngio_spin_get();
	uint64_t begun;

	if (ns == 0 || (begun = now()) < atomic_load_explicit(&luck->sleeps, memory_order_relaxed)) {
		return (false);
	}
	if (atomic_fetch_add_explicit(&spinning, 1, memory_order_relaxed) >= usable_cores() - 1) {
		atomic_fetch_sub_explicit(&spinning, 1, memory_order_relaxed);
		return (false);
	}
	s->luck   = luck;
	s->looks  = 0;
	s->yields = false;
	s->polls  = false;
	s->until  = begun + (uint64_t) ns;
	return (true);
}

bool
spin_goes_on(spinner *s)
{
	relax();
	if (++s->looks % LOOKS != 0) {
		return (true);
	}
	if (s->yields) {
		sched_yield();
	}
	if (s->polls) {
		nng_poll();
	}
	return (now() < s->until);
}

void
spin_end(spinner *s, bool found)
{
	int credit = atomic_load_explicit(&s->luck->credit, memory_order_relaxed) + (found ? 1 : -1);

	atomic_fetch_sub_explicit(&spinning, 1, memory_order_relaxed);
	if (credit < -CREDIT) {
		credit = 0;
		atomic_store_explicit(&s->luck->sleeps, (now() / EPOCH_NS + 1) * EPOCH_NS, memory_order_relaxed);
	}
	if (credit <= CREDIT_MAX) {
		atomic_store_explicit(&s->luck->credit, credit, memory_order_relaxed);
	}
}

// From now on it looks at NNG's connections too, the first time at once: what has come is seen to here, and no thread of NNG's
// need be waited for that is still to be woken.  Only for a thread that has no lock, nor the interpreter's.
void
spin_polls(spinner *s)
{
	s->polls = nng_poll != NULL;
	s->looks = LOOKS - 1;
}

// Who looked so is going to sleep: what comes now is for the thread of NNG's that may have been resting.
void
spin_sleeps(void)
{
	if (nng_poll_ends != NULL) {
		nng_poll_ends();
	}
}

// Whether the next wait would begin so.
bool
spin_pays(spin_luck *luck)
{
	return (nngio_spin_get() != 0 && now() >= atomic_load_explicit(&luck->sleeps, memory_order_relaxed));
}

// Called by one of NNG's task threads that has nothing to do, without a lock; by one at a time.  See
// nng_src/patches; NNG as it comes doesn't.  It lets others have its core in between: it is one of many, and
// whoever it works for may be one of them.  A thread of Python's doesn't; it would get its core, and the
// interpreter's lock, back behind all others.
void
nng_task_attend(bool (*more)(void *), void *arg)
{
	static spin_luck luck;
	spinner          s;

	if (!more(arg) && spin_begin(&s, &luck)) {
		s.yields = true;
		while (!more(arg) && spin_goes_on(&s)) {
		}
		spin_end(&s, more(arg));
	}
}
