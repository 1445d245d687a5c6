// NNG's log: many threads log, one takes.

#include "check.h"

#define LOGGERS 4

static atomic_int met;
static int        each;

static void *
log_all(void *argument)
{
	char     id[16], text[64];
	int      logger = (int) (intptr_t) argument;
	unsigned seed   = (unsigned) logger;

	snprintf(id, sizeof(id), "%d", logger);
	meet(&met, LOGGERS + 1);
	for (int i = 0; i < each; i++) {
		snprintf(text, sizeof(text), "record %d", i);
		log_keep(logger, i, id, text);
		if (dice(&seed, 50) == 0) {
			sleep_us(100);
		}
	}
	return (NULL);
}

static void
each_record_of_four_threads_is_taken_whole_and_in_order_or_counted(void)
{
	pthread_t        threads[LOGGERS];
	nngio_queue     *queue         = nngio_queue_new();
	int              last[LOGGERS] = { -1, -1, -1, -1 };
	uint64_t         total = 0, lost;
	nngio_log_record r;

	(void) nngio_log_start();
	nngio_log_wakes(queue);
	each = rounds(20000);
	atomic_store(&met, 0);
	for (intptr_t i = 0; i < LOGGERS; i++) {
		pthread_create(&threads[i], NULL, log_all, (void *) i);
	}
	meet(&met, LOGGERS + 1);
	while (total < (uint64_t) each * LOGGERS) {
		nngio_op *ops[1];
		CHECK(nngio_queue_wait(queue, 5000) == 1);
		EQUAL(nngio_queue_drain(queue, ops, 1), 0);
		for (;;) {
			bool more = nngio_log_take(&r, &lost);
			total += lost;
			if (!more) {
				break;
			}
			char text[64];
			snprintf(text, sizeof(text), "record %d", r.facility);
			CHECK(strcmp(r.text, text) == 0);
			EQUAL(atoi(r.id), r.level);
			CHECK(r.facility > last[r.level]);
			CHECK(r.seconds > 1e9);
			last[r.level] = r.facility;
			total++;
		}
	}
	EQUAL(total, (uint64_t) each * LOGGERS);
	for (int i = 0; i < LOGGERS; i++) {
		pthread_join(threads[i], NULL);
	}
	CHECK(!nngio_log_take(&r, &lost));
	EQUAL(lost, 0);
}

static void
what_is_too_long_or_missing_is_kept_as_far_as_it_goes(void)
{
	nngio_log_record r;
	uint64_t         lost;
	char             text[1000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_keep(1, 2, NULL, text);
	CHECK(nngio_log_take(&r, &lost));
	EQUAL(strlen(r.id), 0);
	EQUAL(strlen(r.text), sizeof(r.text) - 1);
	log_keep(1, 2, text, "");
	CHECK(nngio_log_take(&r, &lost));
	EQUAL(strlen(r.id), sizeof(r.id) - 1);
	EQUAL(strlen(r.text), 0);
	CHECK(!nngio_log_take(&r, &lost));
}

int
main(void)
{
	RUN(each_record_of_four_threads_is_taken_whole_and_in_order_or_counted);
	RUN(what_is_too_long_or_missing_is_kept_as_far_as_it_goes);
	return (0);
}
