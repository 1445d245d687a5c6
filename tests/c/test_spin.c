// Looking before sleeping: when, for how long, by how many; and a queue whose drainer looks.

#include <time.h>

#include "check.h"

#define IN_VAIN 16
#define REMEMBERED 64
#define EPOCH_MS 100

static nngio_queue *queue;
static int          each;

static uint64_t
clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000);
}

// Looks for as long as is allowed, and finds nothing.  False if it is not to begin.
static bool
look_in_vain(spin_luck *luck)
{
	spinner s;

	if (!spin_begin(&s, luck)) {
		return (false);
	}
	while (spin_goes_on(&s)) {
	}
	spin_end(&s, false);
	return (true);
}

static bool
find(spin_luck *luck)
{
	spinner s;

	if (!spin_begin(&s, luck)) {
		return (false);
	}
	spin_end(&s, true);
	return (true);
}

static void
who_looks_in_vain_too_often_sleeps_for_a_while(void)
{
	spin_luck luck = { 0 };

	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i <= IN_VAIN; i++) {
			CHECK(spin_pays(&luck));
			CHECK(look_in_vain(&luck));
		}
		uint64_t ended = clock_ms();
		while (!spin_pays(&luck)) {
			CHECK(!look_in_vain(&luck) || spin_pays(&luck)); // the one or the other
			sleep_us(500);
		}
		CHECK(clock_ms() - ended <= EPOCH_MS + 50);
		CHECK(clock_ms() % EPOCH_MS <= 50);
	}
}

static void
who_finds_as_often_as_not_goes_on_looking(void)
{
	spin_luck luck = { 0 };

	for (int i = 0; i < 10 * IN_VAIN; i++) {
		CHECK(find(&luck));
		CHECK(look_in_vain(&luck));
	}
	for (int i = 0; i < 10 * REMEMBERED; i++) {
		CHECK(find(&luck));
	}
	for (int i = 0; i <= REMEMBERED + IN_VAIN; i++) { // what was found is remembered for so long only
		CHECK(look_in_vain(&luck));
	}
	CHECK(!spin_pays(&luck) || clock_ms() % EPOCH_MS <= 5); // unless an epoch has just begun
}

static void
a_look_takes_as_long_as_was_set(void)
{
	spin_luck luck = { 0 };
	uint64_t  begun;

	nngio_spin_set(20000000);
	begun = clock_ms();
	CHECK(look_in_vain(&luck));
	CHECK(clock_ms() - begun >= 19);
	nngio_spin_set(0);
	CHECK(!spin_pays(&luck));
	CHECK(!look_in_vain(&luck));
	nngio_spin_set(100000);
}

static void
one_core_is_left_to_those_who_work(void)
{
	spin_luck luck = { 0 };
	spinner   s[256], more;
	int       n = usable_cores() - 1;

	if (n > 255) {
		return;
	}
	for (int i = 0; i < n; i++) {
		CHECK(spin_begin(&s[i], &luck));
	}
	CHECK(!spin_begin(&more, &luck));
	for (int i = 0; i < n; i++) {
		spin_end(&s[i], true);
	}
	CHECK(n == 0 || find(&luck));
}

static nngio_op **ops;
static atomic_int  drained;

static void *
push_now_and_then(void *argument)
{
	unsigned seed = 7;

	for (int i = 0; i < each; i++) {
		op_complete(ops[i], 0);
		for (unsigned n = dice(&seed, 60) == 0 ? 30000 : dice(&seed, 300); n > 0; n--) {
			__asm__ volatile("");
		}
	}
	return (argument);
}

// The drainer looks, and when it has found nothing it sleeps on the descriptor: what was pushed in between
// must have been rung.
static void *
push_one_by_one(void *argument)
{
	unsigned seed = 9;

	for (int i = 0; i < each; i++) {
		while (atomic_load(&drained) != i) {
		}
		for (unsigned n = dice(&seed, 3000); n > 0; n--) {
			__asm__ volatile("");
		}
		op_complete(ops[i], 0);
	}
	return (argument);
}

static void
take_what_is_there(void)
{
	uint32_t tags[4];

	for (int n = nngio_queue_settle(queue, tags, 4), i = 0; i < n; i++) {
		EQUAL(tags[i], atomic_fetch_add(&drained, 1));
	}
}

static void
all_is_drained(void *(*pusher)(void *), int64_t spin, int most)
{
	each  = rounds(most);
	atomic_store(&drained, 0);
	queue = nngio_queue_new();
	ops   = malloc(sizeof(*ops) * (size_t) each);
	for (int i = 0; i < each; i++) {
		ops[i] = new_op();
		EQUAL(nngio_op_attach(ops[i], queue, (uint64_t) i), 0);
		op_pending(ops[i]);
	}
	nngio_spin_set(spin);
	pthread_t thread = start(pusher, NULL);
	while (atomic_load(&drained) < each) {
		if (!nngio_queue_attend(queue)) {
			take_what_is_there(); // a loop may look without having been told
			if (atomic_load(&drained) < each) {
				EQUAL(nngio_queue_wait(queue, 5000), 1);
			}
		}
		take_what_is_there();
	}
	join(thread);
	nngio_spin_set(100000);
	EQUAL(nngio_queue_attend(queue), 0);
	for (int i = 0; i < each; i++) {
		nngio_op_free(ops[i]);
	}
	free(ops);
	nngio_queue_free(queue);
}

static void
what_is_pushed_is_found_by_looking_or_by_the_descriptor(void)
{
	all_is_drained(push_now_and_then, 5000, 200000);
	all_is_drained(push_one_by_one, 5000, 100000);
}

static void
what_is_pushed_while_the_descriptor_is_read_is_found_too(void)
{
	all_is_drained(push_now_and_then, 0, 200000);
	all_is_drained(push_one_by_one, 0, 100000);
}

int
main(void)
{
	if (usable_cores() > 1) {
		RUN(who_looks_in_vain_too_often_sleeps_for_a_while);
		RUN(who_finds_as_often_as_not_goes_on_looking);
		RUN(a_look_takes_as_long_as_was_set);
	}
	RUN(one_core_is_left_to_those_who_work);
	RUN(what_is_pushed_is_found_by_looking_or_by_the_descriptor);
	RUN(what_is_pushed_while_the_descriptor_is_read_is_found_too);
	return (0);
}
