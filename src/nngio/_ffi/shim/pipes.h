// Shared by pipes.c and admission.c.

#ifndef NNGIO_PIPES_H
#define NNGIO_PIPES_H

#include "internal.h"

// What a pipe was when NNG had agreed with the peer, which nothing changes any more, and where it stands.
typedef struct peer peer;
struct peer {
	nngio_peer  was; // the first: Python has its address
	atomic_uint refs;

	// Under the lock of the socket's pipes.
	peer        *next, *prev; // of those that have a place, in the order in which they came
	peer        *same;        // in the table
	nngio_event *ends;        // its disconnections, to be told to those who were told of the connection
	bool         connected;
};

// admission.c
void admission_hold(nngio_admission *a);
void admission_rele(nngio_admission *a);
bool admission_admits(nngio_admission *a, const nngio_peer *p, unsigned places);

#endif
