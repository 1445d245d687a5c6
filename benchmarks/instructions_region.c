// What callgrind is to count: what the calling thread does in `call`.  After it, callgrind writes a file.

#include <valgrind/callgrind.h>

void
region(void (*call)(void))
{
	CALLGRIND_START_INSTRUMENTATION; // the first call does; until then valgrind is faster
	CALLGRIND_ZERO_STATS;
	CALLGRIND_TOGGLE_COLLECT;
	call();
	CALLGRIND_TOGGLE_COLLECT;
	CALLGRIND_DUMP_STATS;
}
