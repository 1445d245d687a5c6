// nng-bench SCENARIO PLACEMENT URL SIZE COUNT SECONDS TLS-FOLDER
// nng-bench send-push|send-pair - URL SIZE 0 0 TLS-FOLDER: dials, and sends until it is killed

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

int
main(int argc, char **argv)
{
	if (argc != 8) {
		fprintf(stderr, "usage: %s SCENARIO PLACEMENT URL SIZE COUNT SECONDS TLS-FOLDER\n", argv[0]);
		return (2);
	}
	const char *scenario = argv[1];
	job         j        = {
		.processes = strcmp(argv[2], "processes") == 0,
		.url       = argv[3],
		.size      = strtoul(argv[4], NULL, 10),
		.count     = atoi(argv[5]),
		.seconds   = strtod(argv[6], NULL),
		.tls       = argv[7],
	};
	j.payload = malloc(j.size + 1);
	memset(j.payload, 'x', j.size);

	if (strcmp(scenario, "roundtrip") == 0) {
		roundtrip(&j);
	} else if (strcmp(scenario, "pushpull") == 0) {
		oneway(&j, PUSH, PULL, 0);
	} else if (strcmp(scenario, "pair") == 0) {
		oneway(&j, PAIR, PAIR, 128);
	} else if (strcmp(scenario, "contexts") == 0) {
		contexts(&j);
	} else if (strcmp(scenario, "pubsub") == 0) {
		pubsub(&j);
	} else if (strcmp(scenario, "pending") == 0) {
		pending(&j);
	} else if (strcmp(scenario, "send-push") == 0 || strcmp(scenario, "send-pair") == 0) {
		bool push = strcmp(scenario, "send-push") == 0;
		send_for_ever(&j, push ? PUSH : PAIR, push ? 0 : 128);
	}
	fprintf(stderr, "no scenario %s\n", scenario);
	return (2);
}
