// Who may connect: rules that are looked at when NNG has agreed with a peer, and before its socket knows of it.
//
// Rules never change once a socket has them, so nothing but the counters needs care.  First those that deny are looked
// at: one that matches refuses.  Then, if some allow, one of these has to match.  Then there has to be a place.  A rule
// about something that is not known of a peer doesn't match.

#include <stdlib.h>
#include <string.h>

#include "pipes.h"

typedef struct {
	int              kind;
	bool             denies;
	unsigned         bits;        // of a network
	uint8_t          address[16]; // of a network
	uint64_t         number;
	char            *subject;
	_Atomic uint64_t refused;
} rule;

struct nngio_admission {
	atomic_uint      refs;
	bool             allows; // only who is allowed may connect
	int64_t          most;   // peers; -1 for any number
	_Atomic uint64_t admitted, not_allowed, over_limit;
	int              count;
	rule             rules[];
};

// Rules for one thing after the other, which nngio_admission_set_* fill in before a socket has them.  NULL without memory.
nngio_admission *
nngio_admission_new(int count, bool allows, int64_t most)
{
	nngio_admission *a = calloc(1, sizeof(*a) + (size_t) count * sizeof(rule));

	if (a != NULL) {
		atomic_init(&a->refs, 1);
		a->allows = allows;
		a->most   = most;
		a->count  = count;
	}
	return (a);
}

void
nngio_admission_set_network(nngio_admission *a, int i, bool denies, int kind, const uint8_t *address, unsigned bits)
{
	rule *r = &a->rules[i];

	r->kind   = kind;
	r->denies = denies;
	r->bits   = bits;
	memcpy(r->address, address, kind == NNGIO_RULE_IPV4 ? 4 : 16);
}

void
nngio_admission_set_number(nngio_admission *a, int i, bool denies, int kind, uint64_t number)
{
	rule *r = &a->rules[i];

	r->kind   = kind;
	r->denies = denies;
	r->number = number;
}

int
nngio_admission_set_subject(nngio_admission *a, int i, bool denies, const char *subject)
{
	rule *r = &a->rules[i];

	r->kind   = NNGIO_RULE_SUBJECT;
	r->denies = denies;
	return ((r->subject = strdup(subject)) != NULL ? 0 : NNG_ENOMEM);
}

void
admission_hold(nngio_admission *a)
{
	if (a != NULL) {
		atomic_fetch_add(&a->refs, 1);
	}
}

void
admission_rele(nngio_admission *a)
{
	if (a == NULL || atomic_fetch_sub(&a->refs, 1) != 1) {
		return;
	}
	for (int i = 0; i < a->count; i++) {
		free(a->rules[i].subject);
	}
	free(a);
}

// The destructor of the Python object.
void
nngio_admission_free(nngio_admission *a)
{
	if (!nngio_forked()) {
		admission_rele(a);
	}
}

// How many peers each of them has let in or refused; `refused` is by rule.
void
nngio_admission_counters(nngio_admission *a, uint64_t totals[3], uint64_t *refused)
{
	totals[0] = atomic_load(&a->admitted);
	totals[1] = atomic_load(&a->not_allowed);
	totals[2] = atomic_load(&a->over_limit);
	for (int i = 0; i < a->count; i++) {
		refused[i] = atomic_load(&a->rules[i].refused);
	}
}

// The bytes of an IP address, and the kind of rule that may match it; 0 for what is none.  An IPv6 address that stands
// for an IPv4 address is that one.
static int
ip_address(const nng_sockaddr *sa, const uint8_t **address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (sa->s_family == NNG_AF_INET) {
		*address = (const uint8_t *) &sa->s_in.sa_addr;
		return (NNGIO_RULE_IPV4);
	}
	if (sa->s_family != NNG_AF_INET6) {
		return (0);
	}
	*address = sa->s_in6.sa_addr;
	if (memcmp(*address, mapped, sizeof(mapped)) == 0) {
		*address += sizeof(mapped);
		return (NNGIO_RULE_IPV4);
	}
	return (NNGIO_RULE_IPV6);
}

static bool
is_in(const uint8_t *address, const rule *r)
{
	unsigned bytes = r->bits / 8, rest = r->bits % 8;

	return (memcmp(address, r->address, bytes) == 0 && (rest == 0 || (address[bytes] ^ r->address[bytes]) >> (8 - rest) == 0));
}

static bool
matches(const rule *r, const nngio_peer *p)
{
	const uint8_t *address = NULL;

	switch (r->kind) {
	case NNGIO_RULE_IPV4:
	case NNGIO_RULE_IPV6:
		return (ip_address(&p->remote, &address) == r->kind && is_in(address, r));
	case NNGIO_RULE_UID:
		return (p->has_uid && p->uid == r->number);
	case NNGIO_RULE_GID:
		return (p->has_gid && p->gid == r->number);
	case NNGIO_RULE_PID:
		return (p->has_pid && p->pid == r->number);
	default: // what a certificate says that nobody has vouched for is reason to refuse, not to admit
		return (p->subject != NULL && (r->denies || p->verified) && strcmp(p->subject, r->subject) == 0);
	}
}

// Whether a peer may have a place, of which so many are taken; counts it.  Called on a thread of NNG's, under the lock of
// the socket's pipes.
bool
admission_admits(nngio_admission *a, const nngio_peer *p, unsigned places)
{
	bool allowed;

	if (a == NULL) {
		return (true);
	}
	allowed = !a->allows;
	for (int i = 0; i < a->count; i++) {
		rule *r = &a->rules[i];
		if ((r->denies || !allowed) && matches(r, p)) {
			if (r->denies) {
				atomic_fetch_add(&r->refused, 1);
				return (false);
			}
			allowed = true; // unless a later one denies it
		}
	}
	if (!allowed) {
		atomic_fetch_add(&a->not_allowed, 1);
		return (false);
	}
	if (a->most >= 0 && (int64_t) places >= a->most) {
		atomic_fetch_add(&a->over_limit, 1);
		return (false);
	}
	atomic_fetch_add(&a->admitted, 1);
	return (true);
}
